//! The decision.

use std::sync::Arc;

use crate::model::{
    parked::{Idle, ParkedRule},
    rule::{Addresses, Effect, HostPattern, NetworkRule, Protocol, Target},
};

use super::{compile::Compiled, entry::Entry};

/// What somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Whom to reach.
    pub target: &'a Target,
    /// On which port.
    pub port: u16,
    /// Speaking what.
    pub protocol: Protocol,
    /// The HTTP request, once it is known; `None` judges the connection.
    pub http: Option<Http<'a>>,
}

/// The request-level facts.
#[derive(Debug, Clone, Copy)]
pub struct Http<'a> {
    /// Method.
    pub method: &'a str,
    /// Canonical path ([`super::path::canonical`]); `None` when it is ambiguous.
    pub path: Option<&'a str>,
}

/// The proof that a request may go. Only [`decide`] makes one; what forwards takes it by value.
#[derive(Debug)]
#[must_use = "a permit that is not handed to the forwarding code forwards nothing"]
pub struct Permit {
    rule: Arc<NetworkRule>,
    target: Target,
    port: u16,
    addresses: Addresses,
    service: Option<u16>,
}

impl Permit {
    /// The rule that allows it.
    #[must_use]
    pub fn rule(&self) -> &Arc<NetworkRule> {
        &self.rule
    }

    /// Whom it lets reach; the forwarding code takes the target from here and from nowhere else.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// On which port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Which addresses the name may resolve to.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Port on the host's loopback, when the target is a host service.
    #[must_use]
    pub fn host_service(&self) -> Option<u16> {
        self.service
    }
}

/// Why a request does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A rule of the floor.
    Floor,
    /// A deny of another layer.
    RuleDenies,
    /// An `ask` that nobody has answered.
    ApprovalRequired,
    /// A reserved name of the host, without such a service.
    HostService,
    /// The host is allowed while set-up steps run only.
    SetupOver,
    /// Nothing names the host.
    NoRule,
    /// The host is allowed on other ports only.
    Port,
    /// The host is allowed with another protocol only.
    Protocol,
    /// The host is allowed with other methods only.
    Method,
    /// The host is allowed on other paths only.
    Path,
    /// The path can be read in several ways, and the rules for the host name paths.
    PathAmbiguous,
    /// A rule of a file would have decided otherwise; it is not in force.
    Parked(Idle),
}

impl Reason {
    /// The stable code in events. A denial by the floor has the rule's id instead.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::RuleDenies => "rule_denies",
            Self::ApprovalRequired => "approval_required",
            Self::HostService => "host_service",
            Self::SetupOver => "setup_over",
            Self::NoRule => "no_rule",
            Self::Port => "port",
            Self::Protocol => "protocol",
            Self::Method => "method",
            Self::Path => "path",
            Self::PathAmbiguous => "path_ambiguous",
            Self::Parked(idle) => idle.code(),
        }
    }
}

/// The outcome.
#[derive(Debug)]
pub enum Verdict {
    /// It may go.
    Allow(Permit),
    /// It may not, with the rule that says so, where one does.
    Deny {
        /// Why.
        reason: Reason,
        /// The rule that denies or asks.
        rule: Option<Arc<NetworkRule>>,
        /// What came nearest to letting it pass, when no rule denies.
        near_miss: Option<Near>,
    },
}

/// What came nearest to letting a request pass.
#[derive(Debug, Clone)]
pub enum Near {
    /// A grant in force, for something else of this host.
    Grant(Arc<NetworkRule>),
    /// What stands in a file and is not in force, for just this.
    Parked(Arc<ParkedRule>),
}

/// A verdict with the revision that it was made under.
#[derive(Debug)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// Revision of the policy.
    pub revision: u64,
}

impl Decision {
    /// Whether it passes.
    #[must_use]
    pub fn allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Allow(_))
    }

    /// The rule that decided.
    #[must_use]
    pub fn rule(&self) -> Option<&Arc<NetworkRule>> {
        match &self.verdict {
            Verdict::Allow(permit) => Some(&permit.rule),
            Verdict::Deny { rule, .. } => rule.as_ref(),
        }
    }

    /// The stable reason code for events: `rule_allows`, `floor.metadata`, `no_rule`, ….
    #[must_use]
    pub fn code(&self) -> String {
        match &self.verdict {
            Verdict::Allow(_) => "rule_allows".to_owned(),
            Verdict::Deny { reason: Reason::Floor, rule: Some(rule), .. } => rule.id.clone(),
            Verdict::Deny { reason, .. } => reason.code().to_owned(),
        }
    }
}

/// Decides. Any matching deny wins, else a matching allow passes, else a matching ask waits, else it is denied.
#[must_use]
pub fn decide(policy: &Compiled, request: &Request<'_>) -> Decision {
    let best = Best::of(policy, request);
    let verdict = if let Some(entry) = best.deny(policy) {
        let floor = entry.rule.origin.layer == crate::model::rule::Layer::Floor;
        let reason = if floor { Reason::Floor } else { Reason::RuleDenies };
        Verdict::Deny { reason, rule: Some(entry.rule.clone()), near_miss: None }
    } else if let Some(entry) = best.allow(policy) {
        let addresses = if best.private { Addresses::Private } else { Addresses::Public };
        Verdict::Allow(Permit {
            rule: entry.rule.clone(),
            target: request.target.clone(),
            port: request.port,
            addresses,
            service: entry.service,
        })
    } else if let Some(entry) = best.ask(policy) {
        Verdict::Deny { reason: Reason::ApprovalRequired, rule: Some(entry.rule.clone()), near_miss: None }
    } else {
        let (reason, near_miss) = match parked(policy, request) {
            Some(parked) => (Reason::Parked(parked.idle), Some(Near::Parked(parked))),
            None => near_miss(policy, request),
        };
        Verdict::Deny { reason, rule: None, near_miss }
    };
    Decision { verdict, revision: policy.revision }
}

/// The rule of each effect that is to be named, of those that match.
#[derive(Default)]
struct Best {
    found: [Option<u32>; 3],
    private: bool,
}

impl Best {
    fn of(policy: &Compiled, request: &Request<'_>) -> Self {
        let mut best = Self::default();
        let reserved = policy.reserves(request.target);
        policy.covering(request.target, |index, entry| {
            if !applies(entry, request, reserved) {
                return;
            }
            let rule = &entry.rule;
            let slot = &mut best.found[slot(rule.effect)];
            *slot = Some(slot.map_or(index, |own| own.min(index)));
            // Only a grant for exactly this host may lead to private addresses: a wildcard is somebody else's zone.
            let exact = matches!(rule.host, HostPattern::Exact(_) | HostPattern::Net(_));
            best.private |= rule.effect == Effect::Allow && exact && rule.addresses == Addresses::Private;
        });
        best
    }

    fn deny<'a>(&self, policy: &'a Compiled) -> Option<&'a Entry> {
        self.entry(policy, Effect::Deny)
    }

    fn allow<'a>(&self, policy: &'a Compiled) -> Option<&'a Entry> {
        self.entry(policy, Effect::Allow)
    }

    fn ask<'a>(&self, policy: &'a Compiled) -> Option<&'a Entry> {
        self.entry(policy, Effect::Ask)
    }

    fn entry<'a>(&self, policy: &'a Compiled, effect: Effect) -> Option<&'a Entry> {
        self.found[slot(effect)].map(|index| &policy.rules[index as usize])
    }
}

const fn slot(effect: Effect) -> usize {
    match effect {
        Effect::Deny => 0,
        Effect::Allow => 1,
        Effect::Ask => 2,
    }
}

/// Whether a rule that covers the target applies to the request. Reserved names are granted by host services only.
pub(super) fn applies(entry: &Entry, request: &Request<'_>, reserved: bool) -> bool {
    let grantable = !reserved || entry.service.is_some() || entry.rule.effect == Effect::Deny;
    grantable
        && entry.holds
        && entry.speaks(request.port, request.protocol)
        && entry.covers(request.protocol, request.http)
}

/// What is not in force and would have been the answer; what somebody can still approve comes first.
fn parked(policy: &Compiled, request: &Request<'_>) -> Option<Arc<ParkedRule>> {
    if policy.reserves(request.target) {
        return None;
    }
    let fitting = policy.parked.iter().filter(|parked| parked.fits(request));
    fitting.min_by_key(|parked| parked.rule.idle != Idle::Waits).map(|parked| parked.rule.clone())
}

/// The grant for this host that failed in the fewest clauses, and the clause.
fn near_miss(policy: &Compiled, request: &Request<'_>) -> (Reason, Option<Near>) {
    let reserved = policy.reserves(request.target);
    let mut nearest: Option<(u8, u32)> = None;
    policy.covering(request.target, |index, entry| {
        if entry.rule.effect == Effect::Deny || (reserved && entry.service.is_none()) {
            return;
        }
        let distance = if !entry.holds {
            let fits =
                entry.speaks(request.port, request.protocol) && entry.covers(request.protocol, request.http);
            if !fits {
                return;
            }
            0
        } else if !entry.rule.ports.contains(request.port) {
            4
        } else if !entry.speaks(request.port, request.protocol) {
            3
        } else if request.http.is_some_and(|http| !entry.takes_method(http.method)) {
            2
        } else {
            1
        };
        nearest = nearest.min(Some((distance, index))).or(Some((distance, index)));
    });
    let Some((distance, index)) = nearest else {
        return (if reserved { Reason::HostService } else { Reason::NoRule }, None);
    };
    let ambiguous = request.http.is_some_and(|http| http.path.is_none());
    let reason = match distance {
        4 => Reason::Port,
        3 => Reason::Protocol,
        2 => Reason::Method,
        0 => Reason::SetupOver,
        _ if ambiguous => Reason::PathAmbiguous,
        _ => Reason::Path,
    };
    (reason, Some(Near::Grant(policy.rules[index as usize].rule.clone())))
}
