//! Checks that a test may switch off, to show that the attack which they stop then succeeds. Outside tests this is
//! a type without content and every check is on.

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// The policy's decision (everything passes).
    Decision,
    /// Each request is judged, not only the first of a connection.
    PerRequest,
    /// Nothing is resolved upstream before it is allowed.
    LateResolution,
    /// The guest's queries are answered here alone, whatever their type.
    OwnResolver,
    /// An address that was never handed out leads nowhere.
    NameBinding,
    /// The gateway's address, and names that mean the host, lead to declared services only.
    HostService,
    /// What no file can allow: the floor's rules, and its addresses behind a name.
    Floor,
    /// An address is one address in every spelling.
    Spelling,
    /// Only streams for the egress port are served.
    StreamPort,
    /// SNI equals the name of the address.
    Sni,
    /// The Host header equals the name of the connection.
    HostAgreement,
    /// The address that a name resolved to is held against the floor.
    ResolvedAddress,
    /// The upstream certificate is verified.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a verifier that trusts everybody exists in tests only")
    )]
    UpstreamCertificate,
    /// Only our placeholder is a credential for a credentialed host.
    ForeignCredential,
    /// A placeholder goes to its host only.
    PlaceholderScope,
    /// No secret without TLS.
    PlainInjection,
    /// Message framing is unambiguous.
    Framing,
    /// A CONNECT authority has one meaning.
    Authority,
    /// A secret leaves only after its event is recorded.
    Recorded,
    /// Open connections are judged again when the policy changes.
    Reload,
    /// Paths have one spelling.
    Path,
    /// One leaf holds one name.
    LeafName,
    /// Values that come back in a body are written over.
    Reflection,
}

/// Which checks are off.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    #[cfg(test)]
    pub off: [Option<Check>; 2],
}

impl Faults {
    /// Whether `check` is switched off.
    #[cfg(test)]
    pub fn skips(self, check: Check) -> bool {
        self.off.contains(&Some(check))
    }

    /// Whether `check` is switched off: never.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the same form as in tests")]
    pub const fn skips(self, _check: Check) -> bool {
        false
    }
}
