//! What an address is: every spelling of it, and which part of the address space it lies in.
//!
//! A guest that may not reach an address tries its other spellings (octal, hexadecimal, IPv4 inside IPv6). Here each
//! becomes one canonical [`IpAddr`] before anything is judged.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Part of the address space (IANA special-purpose registries, RFC 6890).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Credentials of the host's cloud account are served here.
    Metadata,
    /// The host itself.
    Loopback,
    /// `0.0.0.0/8`, `::`; Linux connects to itself.
    Unspecified,
    /// One link.
    LinkLocal,
    /// RFC 1918, RFC 6598, unique local.
    Private,
    /// Groups.
    Multicast,
    /// Set aside: documentation, benchmarking, tunnels, future use.
    Reserved,
    /// The Internet.
    Global,
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Metadata => "a cloud metadata address",
            Self::Loopback => "a loopback address",
            Self::Unspecified => "an unspecified address",
            Self::LinkLocal => "a link-local address",
            Self::Private => "a private address",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
            Self::Global => "a public address",
        })
    }
}

/// Addresses that serve credentials or configuration of the machine: AWS, GCP and Azure (link-local), AWS over
/// IPv6, Alibaba, Azure's wire server, Oracle's.
pub const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// The address that a packet to `address` would reach: IPv4 inside IPv6 (mapped, compatible, NAT64 of RFC 6052,
/// 6to4 of RFC 3056) becomes IPv4.
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let low = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, end] => low(high, end),
        [0, 0, 0, 0, 0xffff, 0, high, end] => low(high, end),
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0, high, end] => low(high, end),
        [0x64, 0xff9b, 0, 0, 0, 0, high, end] => low(high, end),
        [0x2002, high, end, ..] => low(high, end),
        _ => address,
    }
}

/// The class of the canonical form of `address`.
#[must_use]
pub fn class(address: IpAddr) -> Class {
    let address = canonical(address);
    if METADATA.contains(&address) {
        return Class::Metadata;
    }
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

fn class_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        [127, ..] => Class::Loopback,
        [0, ..] => Class::Unspecified,
        [169, 254, ..] => Class::LinkLocal,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Class::Private,
        [224..=239, ..] => Class::Multicast,
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => Class::Reserved,
        [198, 18 | 19, ..] | [240..=255, ..] => Class::Reserved,
        _ => Class::Global,
    }
}

fn class_v6(address: Ipv6Addr) -> Class {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Loopback,
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Unspecified,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        // Site-local (deprecated by RFC 3879) is still routed by some.
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Class::Private,
        [0xff00..=0xffff, ..] => Class::Multicast,
        // Teredo, ORCHID and benchmarking below 2001:0200::; documentation; everything outside 2000::/3, where
        // local NAT64 (64:ff9b:1::/48) would hide IPv4.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, ..] => Class::Reserved,
        [0x2000..=0x3fff, ..] => Class::Global,
        _ => Class::Reserved,
    }
}

/// What a host text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal {
    /// An address, canonical.
    Address(IpAddr),
    /// Something that one program takes for an address and another for a name: refuse it.
    Ambiguous,
}

/// Recognises an address in every spelling that C libraries and browsers accept (`inet_aton`: `127.1`,
/// `0x7f000001`, `017700000001`, `2130706433`; IPv6 in brackets or bare, with a zone). `None`: it is a name.
#[must_use]
pub fn literal(text: &str) -> Option<Literal> {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    if bare.contains(':') {
        // A zone means a link, and never reaches another machine than this one's neighbours.
        return Some(
            bare.parse::<Ipv6Addr>()
                .map_or(Literal::Ambiguous, |v6| Literal::Address(canonical(IpAddr::V6(v6)))),
        );
    }
    let undotted = bare.strip_suffix('.').unwrap_or(bare);
    let last = undotted.rsplit('.').next().unwrap_or_default();
    let numeric = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    if !numeric && !is_hexadecimal(last) {
        return None;
    }
    Some(aton(undotted).map_or(Literal::Ambiguous, |v4| Literal::Address(IpAddr::V4(v4))))
}

fn is_hexadecimal(part: &str) -> bool {
    let digits = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"));
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `inet_aton`: one to four numbers, the last of which fills the remaining bytes.
fn aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = text.split('.').take(5).map(number).collect::<Option<_>>()?;
    let (last, head) = parts.split_last()?;
    if head.len() > 3 || head.iter().any(|part| *part > 255) || *last >= 1 << (8 * (4 - head.len())) {
        return None;
    }
    let high = head.iter().enumerate().fold(0, |sum, (index, part)| sum | (part << (24 - 8 * index)));
    u32::try_from(high | last).ok().map(Ipv4Addr::from)
}

fn number(part: &str) -> Option<u64> {
    let (digits, radix) = match part.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&part[2..], 16),
        [b'0', _, ..] => (&part[1..], 8),
        _ => (part, 10),
    };
    if digits.is_empty() {
        return (radix == 16).then_some(0);
    }
    // `from_str_radix` takes a sign.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, radix).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_every_spelling_is_the_same_address() {
        let loopback = Some(Literal::Address(Ipv4Addr::LOCALHOST.into()));
        for text in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0X7F.0.0.1",
            "017700000001",
            "0177.0.0.01",
            "127.0.0.1.",
            "::ffff:127.0.0.1",
            "[::ffff:7f00:1]",
            "64:ff9b::127.0.0.1",
            "[2002:7f00:1::]",
            "::127.0.0.1",
        ] {
            assert_eq!(literal(text), loopback, "{text}");
        }
        for text in [
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.256",
            "08.1.1.1",
            "0x",
            "a.1",
            "1..2",
            "[fe80::1%25lo]",
            "::1%lo",
        ] {
            let got = literal(text);
            assert!(matches!(got, Some(Literal::Ambiguous)) || text == "0x", "{text} {got:?}");
        }
        for text in ["example.test", "1.example", "0xexample", "a0x1", "x.0xg"] {
            assert_eq!(literal(text), None, "{text}");
        }
    }

    #[test]
    fn a11_classes() {
        for (text, expected) in [
            ("169.254.169.254", Class::Metadata),
            ("::ffff:169.254.169.254", Class::Metadata),
            ("64:ff9b::a9fe:a9fe", Class::Metadata),
            ("fd00:ec2::254", Class::Metadata),
            ("100.100.100.200", Class::Metadata),
            ("168.63.129.16", Class::Metadata),
            ("169.254.1.1", Class::LinkLocal),
            ("fe80::1", Class::LinkLocal),
            ("127.9.9.9", Class::Loopback),
            ("::1", Class::Loopback),
            ("0.0.0.0", Class::Unspecified),
            ("::", Class::Unspecified),
            ("10.1.2.3", Class::Private),
            ("172.31.0.1", Class::Private),
            ("172.32.0.1", Class::Global),
            ("100.64.0.1", Class::Private),
            ("fc00::1", Class::Private),
            ("2002:0a00:0001::", Class::Private),
            ("224.0.0.251", Class::Multicast),
            ("ff02::fb", Class::Multicast),
            ("198.18.0.1", Class::Reserved),
            ("255.255.255.255", Class::Reserved),
            ("64:ff9b:1::a00:1", Class::Reserved),
            ("2001::1", Class::Reserved),
            ("2606:4700::1", Class::Global),
            ("8.8.4.4", Class::Global),
        ] {
            assert_eq!(class(text.parse().unwrap()), expected, "{text}");
        }
    }
}
