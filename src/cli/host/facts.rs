//! What this host lacks of what a plan promises, and what it has to build first. Looked up before anybody is asked, so
//! that a plan does not promise what its `apply` cannot do; part of the plan's input. Nothing that a file names is run for
//! it, and no secret's value is read.

use std::collections::BTreeMap;

use super::{Host, machines::state_failure, operations::describe};
use crate::{
    audit::view::seconds,
    cli::failure::Failure,
    kit,
    model::{
        desired::Sandbox,
        name::Name,
        secret::{SecretBinding, SecretSource},
    },
    plan::{
        Plan, PlanInput, Planned,
        facts::{Facts, Lack, Refusal, Refusals},
    },
    store::{Owner, Rejection, answers::Answers, approvals},
};

impl Host {
    /// What starts meet here, for the sandboxes that `plan` starts, or would if nothing waited.
    pub(super) fn facts(
        &self,
        plan: &Plan,
        input: &PlanInput,
        owner: &Owner,
    ) -> Result<BTreeMap<Name, Facts>, Failure> {
        let steps: Vec<&Planned> = plan.steps.iter().filter(|step| step.would_start()).collect();
        if steps.is_empty() {
            return Ok(BTreeMap::new());
        }
        let answers = self.store.answers(owner).map_err(state_failure)?;
        let files: BTreeMap<&Name, &Sandbox> = input.desired.iter().map(|it| (&it.name, it)).collect();
        let mut facts = BTreeMap::new();
        for step in steps {
            let Some(asked) = files.get(&step.name) else { continue };
            // What is recorded has the rules that its template is built under; what waits has none yet.
            let wanted = step.wanted.as_deref().unwrap_or(asked);
            let secrets = asked.secrets.iter().filter(|secret| secret.required);
            let lacks = self.lack_of_isolation(wanted).into_iter();
            let found = Facts {
                lacks: lacks.chain(secrets.filter_map(|it| self.lack_of_secret(it, &answers))).collect(),
                unbuilt: self.unbuilt(wanted, step.id.as_ref()),
            };
            if found != Facts::default() {
                facts.insert(step.name.clone(), found);
            }
        }
        Ok(facts)
    }

    fn lack_of_isolation(&self, wanted: &Sandbox) -> Option<Lack> {
        let failure = self.lack_of_hardware(wanted.isolation)?;
        let object = failure.object();
        Some(Lack::Isolation { message: object.message.clone(), hint: object.hint.clone() })
    }

    /// What is known of a value without asking for it: a program that yields one is not run.
    fn lack_of_secret(&self, binding: &SecretBinding, answers: &Answers) -> Option<Lack> {
        let secret = binding.name.clone();
        let Some(source) = self.source_of(binding, answers) else {
            let failure = self.no_source(&secret);
            let object = failure.object();
            return Some(Lack::Secret { secret, message: object.message.clone(), hint: object.hint.clone() });
        };
        let (words, mut present) = describe(&source, &self.home);
        if let SecretSource::Env { env } = &source
            && kit::service_variables().contains(env)
        {
            // Looked for when the command began.
            present = Some(self.keys.contains(env));
        }
        if present != Some(false) {
            return None;
        }
        let message = format!("secret `{secret}` has no value: its source ({words}) has none");
        let hint = Some(format!("sources stand in {}", self.places.config.display()));
        Some(Lack::Secret { secret, message, hint })
    }

    /// What people have refused, by definition.
    pub(super) fn refusals(&self, owner: &Owner) -> Result<BTreeMap<Name, Refusals>, Failure> {
        let known = self.store.approvals(owner).map_err(state_failure)?;
        let mut all = BTreeMap::new();
        for (name, definition) in &known.definitions {
            let Ok(name) = name.parse::<Name>() else { continue };
            let approved = definition.approved.iter().map(|it| &it.grant);
            let parked = definition.parked.iter().map(|it| &it.grant);
            let texts = definition.rejected.iter().map(|it| &it.grant).chain(approved).chain(parked);
            let ids: Vec<String> = texts.map(|text| approvals::id(text)).collect();
            let refusal = |it: &Rejection| {
                let id = approvals::short(&approvals::id(&it.grant), &ids).to_owned();
                let at = seconds(&it.at).into_owned();
                (it.grant.clone(), Refusal { id, by: it.by.clone(), at })
            };
            let own: Refusals = definition.rejected.iter().map(refusal).collect();
            if !own.is_empty() {
                all.insert(name, own);
            }
        }
        Ok(all)
    }
}
