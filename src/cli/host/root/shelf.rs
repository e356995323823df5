//! The commands about templates: build, list, remove.

use jiff::Timestamp;

use super::{Host, cache_failure, show, state_failure};
use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::{BuiltTemplate, KeptTemplate, Progress, Source},
    },
    model::{desired::Sandbox, template::Stack},
    store::Record,
    template::{self, Kept, KeptKind},
};

/// Fewer digits of a key name nothing.
const KEY_LEAST: usize = 4;

impl Host {
    /// Builds what the templates of the files need; with a name, of that definition or else of that sandbox. With `yes`
    /// a person agrees to what the steps may reach.
    pub(in crate::cli::host) fn build_templates_of(
        &self,
        source: &Source,
        name: Option<&str>,
        yes: bool,
        on: &dyn Progress,
    ) -> Result<Vec<BuiltTemplate>, Failure> {
        let own = self.own_records()?;
        let record = |wanted: &Sandbox| own.iter().find(|record| record.name == wanted.name);
        let build = |wanted: &Sandbox, record: Option<&Record>| {
            if !yes {
                self.judge_build(wanted, record)?;
            }
            let stack = self.ensure_stack(wanted, record, on)?;
            let image = stack.image.key().to_owned();
            Ok(BuiltTemplate { sandbox: wanted.name.to_string(), image, layers: stack.layers })
        };
        let Some(name) = name else {
            return self.load(source)?.sandboxes.iter().map(|it| build(it, record(it))).collect();
        };
        let defined = self.load(source).ok();
        let defined = defined.and_then(|it| it.sandboxes.into_iter().find(|it| it.name.as_str() == name));
        if let Some(wanted) = defined {
            return Ok(vec![build(&wanted, record(&wanted))?]);
        }
        let found = self.record(name)?;
        Ok(vec![build(&found.desired, Some(&found))?])
    }

    pub(in crate::cli::host) fn kept_templates(&self) -> Result<Vec<KeptTemplate>, Failure> {
        let stacks = self.stacks()?;
        let kept = self.open_cache()?.kept().map_err(|error| cache_failure(&error))?;
        Ok(kept.into_iter().map(|kept| listing(kept, &stacks)).collect())
    }

    /// Removes what the keys name; `unused`: everything that no sandbox of this user stands on, but the base.
    pub(in crate::cli::host) fn remove_kept(
        &self,
        keys: &[String],
        unused: bool,
        on: &dyn Progress,
    ) -> Result<Vec<KeptTemplate>, Failure> {
        let (cache, stacks) = (self.open_cache()?, self.stacks()?);
        let kept = cache.kept().map_err(|error| cache_failure(&error))?;
        let mut doomed: Vec<Kept> = Vec::new();
        for key in keys {
            let one = named(&kept, key)?;
            let users = users(&stacks, &one.key);
            if !users.is_empty() {
                let message = format!("template {} is in use by {}", &one.key[..12], users.join(", "));
                return Err(Failure::new(Kind::Failed, "template_in_use", message)
                    .hint("their system disks stand on it; remove them first"));
            }
            doomed.push(one.clone());
        }
        if unused {
            let spare = |one: &&Kept| {
                one.kind != KeptKind::Base { current: true } && users(&stacks, &one.key).is_empty()
            };
            doomed.extend(kept.iter().filter(spare).cloned());
        }
        doomed.sort_by(|a, b| a.key.cmp(&b.key));
        doomed.dedup_by(|a, b| a.key == b.key);
        let report = |report: template::Report<'_>| show(on, report);
        cache.remove(&doomed, &report).map_err(|error| cache_failure(&error))?;
        Ok(doomed.into_iter().map(|kept| listing(kept, &stacks)).collect())
    }

    /// Which sandbox of this user stands on what.
    fn stacks(&self) -> Result<Vec<(String, Stack)>, Failure> {
        let mut stacks = Vec::new();
        for record in self.records()? {
            // A note that cannot be read may name anything: nothing is removed then.
            if let Some(stack) = self.store.sandbox(&record.id).stack().map_err(state_failure)? {
                stacks.push((record.name.to_string(), stack));
            }
        }
        Ok(stacks)
    }
}

fn users(stacks: &[(String, Stack)], key: &str) -> Vec<String> {
    stacks.iter().filter(|(_, stack)| stack.holds(key)).map(|(name, _)| name.clone()).collect()
}

fn named<'a>(kept: &'a [Kept], key: &str) -> Result<&'a Kept, Failure> {
    let fits = |one: &&Kept| key.len() >= KEY_LEAST && one.key.starts_with(key);
    let mut found = kept.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => {
            let message = format!("several templates begin with `{key}`");
            Err(Failure::usage("several_templates", message).hint("write more of the key"))
        }
        _ => Err(Failure::new(Kind::NotFound, "template_not_found", format!("no template `{key}`"))
            .hint("cofferdam template ls")),
    }
}

fn listing(kept: Kept, stacks: &[(String, Stack)]) -> KeptTemplate {
    let (kind, holds) = match kept.kind {
        KeptKind::Base { current } => ("base", if current { vec!["current".to_owned()] } else { Vec::new() }),
        KeptKind::Packages(packages) => ("packages", packages),
        KeptKind::Steps(steps) => ("steps", steps),
        KeptKind::Damaged => ("damaged", Vec::new()),
    };
    let created = kept.created.and_then(|time| Timestamp::try_from(time).ok());
    KeptTemplate {
        used_by: users(stacks, &kept.key),
        key: kept.key,
        kind,
        holds,
        bytes: kept.bytes,
        created: created.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    }
}
