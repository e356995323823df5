//! The grammar of host patterns: one reading for files, command lines and an organisation's ceiling.
//!
//! Strict, because a pattern that is read otherwise than its author meant is a hole: names follow RFC 1123 and
//! IDNA (UTS 46) and come out as lower-case A-labels; an address has exactly one spelling (`127.1`,
//! `0x7f000001`, `::ffff:127.0.0.1` are refused with the right one); nothing of a URL is taken for a host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use ipnet::IpNet;

use super::rule::{HostPattern, Ports};

/// Longest pattern, in bytes: a name has at most 253 (RFC 1035), ports and wildcard need a dozen more; IDNA
/// input may be longer than its result.
const TEXT_MAX: usize = 512;

/// Prefixes of named sets, which are not host patterns.
pub const NAMED_SETS: [&str; 3] = ["registry", "bundle", "service"];

/// Why a text is not a host pattern, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// What is wrong and what to write instead.
    pub message: String,
    /// Byte offset in the text where the trouble begins.
    pub at: usize,
}

fn wrong<T>(at: usize, message: impl Into<String>) -> Result<T, PatternError> {
    Err(PatternError { message: message.into(), at })
}

/// Splits a named set (`registry:npm`, `bundle:paste-sites`, `service:github`) into its kind and name.
#[must_use]
pub fn named_set(text: &str) -> Option<(&str, &str)> {
    text.split_once(':').filter(|(kind, _)| NAMED_SETS.contains(kind))
}

/// Reads `host`, `host:port`, `host:lo-hi` or `host:*`, where host is a name, `*.name`, `**.name`, `**`, an
/// address or a network; an IPv6 host with ports stands in brackets.
///
/// Ports are `None` when none are written: what that means depends on the rule's effect.
///
/// # Errors
/// What is wrong with the text, and at which byte.
pub fn parse(text: &str) -> Result<(HostPattern, Option<Ports>), PatternError> {
    refuse_foreign(text)?;
    if let Some(rest) = text.strip_prefix('[') {
        let Some((inside, after)) = rest.split_once(']') else {
            return wrong(0, "the bracket is not closed; write for example [2001:db8::1]:443");
        };
        let Some(net) = address(inside, 1)?.filter(|net| net.addr().is_ipv6()) else {
            return wrong(1, "only an IPv6 address or network stands in brackets");
        };
        let ports = match after.strip_prefix(':') {
            Some(written) => Some(ports(written, inside.len() + 3)?),
            None if after.is_empty() => None,
            None => return wrong(inside.len() + 2, "only `:port` may follow the bracket"),
        };
        return Ok((HostPattern::Net(net), ports));
    }
    if text.matches(':').count() > 1 {
        return match address(text, 0)? {
            Some(net) => Ok((HostPattern::Net(net), None)),
            None => wrong(
                0,
                "neither a host with one port nor an IPv6 address; ports are host:port or host:lo-hi",
            ),
        };
    }
    let (written_host, written_ports) = text.split_once(':').map_or((text, None), |(h, p)| (h, Some(p)));
    let host = host(written_host)?;
    let ports = written_ports.map(|written| ports(written, written_host.len() + 1)).transpose()?;
    Ok((host, ports))
}

/// Refuses what belongs to a URL or to nothing at all, with the fix.
fn refuse_foreign(text: &str) -> Result<(), PatternError> {
    if text.is_empty() {
        return wrong(0, "a pattern is empty; write a host such as api.example.com");
    }
    if text.len() > TEXT_MAX {
        return wrong(TEXT_MAX, format!("a pattern has at most {TEXT_MAX} bytes"));
    }
    if let Some((kind, _)) = named_set(text) {
        return wrong(0, format!("`{kind}:` names a set; a host pattern is needed here"));
    }
    if let Some(at) = text.find("://") {
        return wrong(at, "a pattern is a host, not a URL; write host:port, and paths under `http:`");
    }
    for (at, sign) in text.char_indices() {
        let message = match sign {
            '@' => "a pattern holds no user name; write the host alone",
            '%' => "a pattern is not percent-encoded, and addresses have no zone",
            '?' | '#' | '\\' => "a pattern is a host, not a URL; write host:port",
            '\u{3002}' | '\u{ff0e}' | '\u{ff61}' => "labels are separated by a plain full stop",
            _ if sign.is_whitespace() || sign.is_control() => "a pattern holds no white space",
            _ => continue,
        };
        return wrong(at, message);
    }
    Ok(())
}

fn host(text: &str) -> Result<HostPattern, PatternError> {
    if text.is_empty() {
        return wrong(0, "the host before `:` is missing");
    }
    if let Some(net) = address(text, 0)? {
        return Ok(HostPattern::Net(net));
    }
    if let Some(at) = text.find('/') {
        return wrong(at, "a pattern is a host or a network such as 10.0.0.0/8; paths stand under `http:`");
    }
    match text {
        "**" => return Ok(HostPattern::Any),
        "*" => return wrong(0, "`*` is one label; write `**` for every name or `*.example.com`"),
        _ => {}
    }
    if let Some(suffix) = text.strip_prefix("**.") {
        return Ok(HostPattern::AnyDepth(name(suffix, 3)?));
    }
    if let Some(suffix) = text.strip_prefix("*.") {
        return Ok(HostPattern::OneLabel(name(suffix, 2)?));
    }
    Ok(HostPattern::Exact(name(text, 0)?))
}

/// Reads an exact host name and returns it as lower-case A-labels.
///
/// # Errors
/// What is wrong with the text, and at which byte.
pub fn parse_name(text: &str) -> Result<String, PatternError> {
    refuse_foreign(text)?;
    if address(text, 0)?.is_some() {
        return wrong(0, "a host name is needed here, not an address");
    }
    name(text, 0)
}

fn name(text: &str, offset: usize) -> Result<String, PatternError> {
    if let Some(at) = text.find('*') {
        return wrong(
            offset + at,
            "a wildcard stands for whole labels at the beginning: *.example.com or **.example.com",
        );
    }
    if text.ends_with('.') {
        return wrong(offset + text.len() - 1, "a name ends without a full stop");
    }
    let mut at = offset;
    for label in text.split('.') {
        check_label(label, at)?;
        at += label.len() + 1;
    }
    let Ok(ascii) = Uts46::new().to_ascii(
        text.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
        DnsLength::Verify,
    ) else {
        return wrong(
            offset,
            "not a host name (letters, digits and inner hyphens, 63 per label, 253 in all; RFC 1123, IDNA)",
        );
    };
    let disguised = |(written, read): (&str, &str)| !written.is_ascii() && !read.starts_with("xn--");
    if text.split('.').zip(ascii.split('.')).any(disguised) {
        return wrong(offset, format!("this reads as `{ascii}` but is not written so; write `{ascii}`"));
    }
    // WHATWG URL, host parsing: a name whose last label is a number is an address in some spelling.
    if ascii.rsplit('.').next().is_some_and(is_number) {
        return wrong(
            offset,
            "neither a name nor an address; an IPv4 address has four decimal numbers without leading zeros",
        );
    }
    Ok(ascii.into_owned())
}

fn check_label(label: &str, at: usize) -> Result<(), PatternError> {
    if label.is_empty() {
        return wrong(at, "a label between two full stops is empty");
    }
    let strange = |sign: char| sign.is_ascii() && !sign.is_ascii_alphanumeric() && sign != '-';
    if let Some((inner, sign)) = label.char_indices().find(|(_, sign)| strange(*sign)) {
        return wrong(at + inner, format!("`{sign}` cannot stand in a host name"));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return wrong(at, "a label begins and ends with a letter or digit");
    }
    Ok(())
}

fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex || label.bytes().all(|byte| byte.is_ascii_digit())
}

/// The address or network that `text` is, if it is written as one.
fn address(text: &str, offset: usize) -> Result<Option<IpNet>, PatternError> {
    let (written, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let Ok(addr) = written.parse::<IpAddr>() else { return Ok(None) };
    if let IpAddr::V6(v6) = addr {
        refuse_embedded(v6, offset)?;
    }
    let Some(prefix) = prefix else { return Ok(Some(IpNet::from(addr))) };
    let at = offset + written.len() + 1;
    let Some(net) = decimal(prefix).and_then(|bits| IpNet::new(addr, u8::try_from(bits).ok()?).ok()) else {
        return wrong(at, "a prefix length is 0 to 32 for IPv4, 0 to 128 for IPv6");
    };
    if net.network() != net.addr() {
        return wrong(offset, format!("bits are set beyond the prefix; write {}", net.trunc()));
    }
    Ok(Some(net))
}

fn refuse_embedded(v6: Ipv6Addr, offset: usize) -> Result<(), PatternError> {
    match v6.to_ipv4_mapped() {
        Some(v4) => wrong(offset, format!("an IPv4 address in IPv6 clothes; write {v4}")),
        None => Ok(()),
    }
}

fn ports(text: &str, at: usize) -> Result<Ports, PatternError> {
    if text == "*" {
        return Ok(Ports::ALL);
    }
    let one = |text: &str, at: usize| match decimal(text) {
        Some(port) if port > 0 => Ok(port),
        _ => wrong(at, "a port is a number from 1 to 65535"),
    };
    let Some((first, last)) = text.split_once('-') else { return Ok(Ports::one(one(text, at)?)) };
    let ports = Ports { first: one(first, at)?, last: one(last, at + first.len() + 1)? };
    if ports.first > ports.last {
        return wrong(at, "the first port of a range is not above the last");
    }
    Ok(ports)
}

/// A decimal number in ASCII digits without sign or leading zero.
fn decimal(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// Whether a name reads as an IPv4 address in any spelling that a C library would take.
#[must_use]
pub fn looks_like_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok() || text.rsplit('.').next().is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, host: &str, ports: Option<(u16, u16)>) {
        let (read, read_ports) = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read.to_string(), host, "{text}");
        assert_eq!(read_ports.map(|ports| (ports.first, ports.last)), ports, "{text}");
    }

    #[test]
    fn patterns_read() {
        reads("api.vendor.example", "api.vendor.example", None);
        reads("API.Vendor.Example:443", "api.vendor.example", Some((443, 443)));
        reads("*.vendor.example:8000-8010", "*.vendor.example", Some((8000, 8010)));
        reads("**.vendor.example", "**.vendor.example", None);
        reads("**:80", "**", Some((80, 80)));
        reads("vendor.example:*", "vendor.example", Some((0, 65535)));
        reads("bücher.example", "xn--bcher-kva.example", None);
        reads("192.0.2.1:22", "192.0.2.1", Some((22, 22)));
        reads("10.0.0.0/8", "10.0.0.0/8", None);
        reads("2001:db8::1", "2001:db8::1", None);
        reads("[2001:db8::/32]:443", "2001:db8::/32", Some((443, 443)));
    }

    #[test]
    fn a12_and_other_traps_are_refused_where_they_stand() {
        for (text, at, part) in [
            ("", 0, "empty"),
            ("https://a.example/", 5, "not a URL"),
            ("user@a.example", 4, "user name"),
            ("a.example:0", 10, "1 to 65535"),
            ("a.example:65536", 10, "1 to 65535"),
            ("a.example:+80", 10, "1 to 65535"),
            ("a.example:080", 10, "1 to 65535"),
            ("a.example:٨٠", 10, "1 to 65535"),
            ("a.example:90-80", 10, "not above"),
            ("a.example:80-", 13, "1 to 65535"),
            ("a.example.", 9, "without a full stop"),
            ("a..example", 2, "empty"),
            ("a.*.example", 2, "wildcard"),
            ("*", 0, "one label"),
            ("a*.example", 1, "wildcard"),
            ("a_b.example", 1, "`_` cannot"),
            ("-a.example", 0, "begins and ends"),
            ("a.example/x", 9, "paths stand under"),
            ("a b.example", 1, "white space"),
            ("a\tb.example", 1, "white space"),
            ("a%2eexample", 1, "percent"),
            ("127.1", 0, "four decimal"),
            ("2130706433", 0, "four decimal"),
            ("0x7f.0.0.0x1", 0, "four decimal"),
            ("0177.0.0.1", 0, "four decimal"),
            ("１２７.0.0.1", 0, "is not written so"),
            ("ⓐ.example", 0, "is not written so"),
            ("a。example", 1, "plain full stop"),
            ("::ffff:127.0.0.1", 0, "write 127.0.0.1"),
            ("10.0.0.1/8", 0, "write 10.0.0.0/8"),
            ("10.0.0.0/33", 9, "prefix length"),
            ("fe80::1%eth0", 7, "percent"),
            ("[2001:db8::1", 0, "not closed"),
            ("[a.example]:443", 1, "only an IPv6"),
            ("[2001:db8::1]443", 13, "may follow"),
            ("a.example:80:90", 0, "one port"),
            ("registry:npm", 0, "names a set"),
            ("xn--a.example", 0, "not a host name"),
            (&format!("{}.example", "a".repeat(64)), 0, "not a host name"),
            (&"a.".repeat(300), 512, "at most 512"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.message.contains(part), "{text}: {error}");
            assert_eq!(error.at, at, "{text}: {error}");
        }
    }

    #[test]
    fn a_name_is_no_address() {
        assert_eq!(parse_name("Api.Example"), Ok("api.example".to_owned()));
        assert!(parse_name("192.0.2.1").is_err());
        assert!(parse_name("*.example").is_err());
        assert!(looks_like_ipv4("0x7f.1") && !looks_like_ipv4("a.example"));
    }
}
