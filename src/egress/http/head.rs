//! Heads of HTTP/1 requests, parsed so strictly that they have one reading.

/// Why a request's framing is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    /// The head is too long.
    #[error("the request's head is too long")]
    TooLong,
    /// The request line has another form.
    #[error("the request line has another form than METHOD target HTTP/1.1")]
    Line,
    /// A header field has another form.
    #[error("a header field is malformed")]
    Field,
    /// Not exactly one Host.
    #[error("a request has exactly one Host")]
    Host,
    /// Content-Length and Transfer-Encoding do not give the body one length.
    #[error("Content-Length and Transfer-Encoding do not give the body one length")]
    Length,
    /// A chunk is malformed.
    #[error("a chunk is malformed")]
    Chunk,
}

/// What decides a request's framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Request target, as it stands.
    pub target: String,
    /// The Host field.
    pub host: Option<String>,
    /// HTTP/1.x.
    pub minor: u8,
    pub body: Body,
}

/// How long the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes.
    Sized(u64),
    /// Until the last chunk.
    Chunked,
}

/// Index behind the empty line that ends a head.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Parses a head, strictly.
///
/// # Errors
/// When it can be read in more than one way.
pub(crate) fn parse_head(bytes: &[u8]) -> Result<Head, Violation> {
    let text = bytes.strip_suffix(b"\r\n\r\n").ok_or(Violation::Line)?;
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    // The line break that ends the last line is off already.
    let whole = text.iter().zip(text.iter().skip(1)).all(|(a, b)| (*b == b'\n') == (*a == b'\r'));
    if !whole || text.ends_with(b"\r") {
        return Err(Violation::Field);
    }
    let (target, minor) = request_line(lines.next().unwrap_or_default())?;
    let (mut hosts, mut lengths, mut encodings) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let (name, value) = field(line)?;
        match name.as_str() {
            "host" => hosts.push(value),
            "content-length" => lengths.push(length(value)?),
            "transfer-encoding" => encodings.push(value),
            _ => {}
        }
    }
    let host = match hosts.as_slice() {
        [] => None,
        [host] => Some(String::from_utf8(host.to_vec()).map_err(|_| Violation::Host)?),
        _ => return Err(Violation::Host),
    };
    let body = match (encodings.as_slice(), lengths.as_slice()) {
        ([], []) => Body::Sized(0),
        ([], [first, rest @ ..]) if rest.iter().all(|other| other == first) => Body::Sized(*first),
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") && minor == 1 => Body::Chunked,
        _ => return Err(Violation::Length),
    };
    Ok(Head { target, host, minor, body })
}

fn request_line(line: &[u8]) -> Result<(String, u8), Violation> {
    let text = std::str::from_utf8(line).map_err(|_| Violation::Line)?;
    let parts: Vec<&str> = text.split(' ').collect();
    let [method, target, version] = parts.as_slice() else { return Err(Violation::Line) };
    let method_byte = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    let good_method = (1..=32).contains(&method.len()) && method.bytes().all(method_byte);
    let good_target = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
    let minor = match *version {
        "HTTP/1.1" => 1,
        "HTTP/1.0" => 0,
        _ => return Err(Violation::Line),
    };
    if good_method && good_target { Ok(((*target).to_owned(), minor)) } else { Err(Violation::Line) }
}

/// One field line: its name in lower case, its value.
///
/// # Errors
/// When it has another form.
pub(super) fn field(line: &[u8]) -> Result<(String, &[u8]), Violation> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Violation::Field)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if name.is_empty() || !name.iter().all(token) || !value.iter().all(text) {
        return Err(Violation::Field);
    }
    Ok((String::from_utf8_lossy(name).to_ascii_lowercase(), value.trim_ascii()))
}

fn length(value: &[u8]) -> Result<u64, Violation> {
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits).ok_or(Violation::Length)?;
    text.parse().map_err(|_| Violation::Length)
}

/// The answer to a request that is refused before it is a request.
pub(crate) fn bad_request(why: &str) -> String {
    let body = format!("Refused by the sandbox's gateway: {why}.\n");
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_in_one_way() {
        let head = |end: &str| parse_head(format!("GET / HTTP/1.1\r\nHost: a{end}\r\n\r\n").as_bytes());
        assert!(head("").is_ok() && head("\r\nX: y").is_ok());
        for bad in ["\r", "\r\nX: y\r", "\nX: y", "\rX: y", "\r\r\nX: y", "\n", "\n\r"] {
            assert!(head(bad).is_err(), "{bad:?}");
        }
        assert!(parse_head(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").is_err());
    }
}
