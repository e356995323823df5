//! What every stream of this sandbox shares.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use crate::{
    model::{
        api::{EgressReport, EgressSetup, PolicyRevision},
        rule::{Addresses, During, Effect, HostPattern, Layer, NetworkRule, Origin, Ports, Protocol},
    },
    policy::{Compiled, Decision, Request, decide},
};

use super::{
    EgressError, Handles,
    control::Control,
    dial::{Upstream, World},
    faults::{Check, Faults},
    inject::Secrets,
    leaf::Leaves,
    limits::{self, Bucket},
    names::Names,
    open::Open,
};

/// State of the egress process. Each part guards itself; none is held locked across an await but a name's binding.
pub(crate) struct Shared {
    /// The policy in force; swapped whole.
    pub policy: ArcSwap<Compiled>,
    /// Synthetic addresses.
    pub names: Names,
    /// The keeper.
    pub control: Control,
    /// Certificates for the guest's side.
    pub leaves: Leaves,
    /// Secret values and their placeholders.
    pub secrets: Secrets,
    /// The world's side.
    pub upstream: Upstream,
    /// Connections to be judged again.
    pub open: Arc<Open>,
    /// DNS queries.
    pub dns_rate: Bucket,
    /// Events about limits.
    pub limit_events: Bucket,
    /// Checks that a test has switched off.
    pub faults: Faults,
}

impl Shared {
    /// From the setup, with the queue of reports that somebody has to write.
    pub fn new(
        setup: EgressSetup,
        handles: &mut Handles,
        world: Arc<dyn World>,
        faults: Faults,
    ) -> Result<(Arc<Self>, mpsc::Receiver<EgressReport>), EgressError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (control, queue) = Control::new();
        let values = std::mem::take(&mut handles.secrets);
        let shared = Self {
            policy: ArcSwap::from_pointee(compile(&setup.policy, faults)),
            names: Names::new(setup.synthetic, setup.names),
            control,
            leaves: Leaves::new(&handles.authority, provider.clone(), faults)?,
            secrets: Secrets::new(setup.secrets, values, faults)?,
            upstream: Upstream::new(&setup.upstream, world, provider, faults)?,
            open: Arc::default(),
            dns_rate: Bucket::new(limits::DNS_RATE),
            limit_events: Bucket::new(limits::LIMIT_EVENT_RATE),
            faults,
        };
        Ok((Arc::new(shared), queue))
    }

    /// Puts a revision in force for every later decision.
    pub fn replace_policy(&self, revision: &PolicyRevision) {
        self.policy.store(Arc::new(compile(revision, self.faults)));
    }

    /// Decides under the policy in force.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        if self.faults.skips(Check::Decision) {
            return decide(&everything(), request);
        }
        decide(&self.policy.load(), request)
    }
}

#[cfg(not(test))]
fn compile(revision: &PolicyRevision, _: Faults) -> Compiled {
    Compiled::new(revision)
}

#[cfg(test)]
fn compile(revision: &PolicyRevision, faults: Faults) -> Compiled {
    Compiled::broken(revision, !faults.skips(Check::Floor), !faults.skips(Check::HostService))
}

/// The policy of a broken build, for the tests that show what the decision is worth.
fn everything() -> Compiled {
    let allow = |host, protocol| NetworkRule {
        until: None,
        id: "broken".to_owned(),
        effect: Effect::Allow,
        host,
        ports: Ports::ALL,
        protocol: Some(protocol),
        http: Vec::new(),
        addresses: Addresses::Private,
        during: During::Always,
        set: None,
        why: "the check is switched off".to_owned(),
        origin: Origin { layer: Layer::Session, file: None, line: None },
    };
    let net = HostPattern::Net(ipnet::IpNet::from(ipnet::Ipv4Net::default()));
    let rules = [HostPattern::Any, net].into_iter().flat_map(|host| {
        [Protocol::Http, Protocol::Https, Protocol::Tcp].map(|protocol| allow(host.clone(), protocol))
    });
    Compiled::new(&PolicyRevision { rules: rules.collect(), ..PolicyRevision::default() })
}
