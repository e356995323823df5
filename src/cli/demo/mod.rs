//! The acceptance story (`MISSION.md`): one agent, four attacks, on a real machine, against servers that the demo
//! starts on loopback. "Blocked" is judged twice: by what the agent got, and by what arrived at those servers.
//!
//! Everything lies in a folder of its own that is gone afterwards: state, configuration, workspace and a home with
//! planted credentials. Only the cache is the user's. Read [`story`] for the attacks, [`upstream`] for the world.

mod inventory;
mod stage;
mod story;
mod upstream;

use std::{path::Path, time::Instant};

use serde_json::{Value, json};

use self::stage::Stage;
use super::{
    failure::Failure,
    ops::{Machines, Progress},
};
use crate::model::name::Name;

/// Plays the story and gives the documented report.
///
/// # Errors
/// When it could not be played. An attack that got through is in the report.
pub fn play(cache: &Path, name: Option<&Name>, on: &dyn Progress) -> Result<Value, Failure> {
    let begun = Instant::now();
    super::host::ensure_boot_files(cache, on)?;
    let prepared = begun.elapsed();
    let name = name.map_or("demo", Name::as_str);
    let stage = Stage::build(cache, name)?;
    on.step("looking around on the host", None, "");
    let inventory = inventory::take();
    let mut attacks = vec![story::stolen_mount(&stage)?];
    let begun_boot = Instant::now();
    let status = stage.start(on)?;
    let booted = begun_boot.elapsed();
    on.step("playing the attacks", None, "");
    let begun_attacks = Instant::now();
    attacks[0].add(story::no_credentials_inside(&stage)?);
    attacks.push(story::forbidden_hosts(&stage)?);
    let (key, call) = story::stolen_key(&stage)?;
    attacks.push(key);
    attacks.push(story::unapproved_tool(&stage)?);
    let attacked = begun_attacks.elapsed();
    let (events, verified) = stage.audit(&mut attacks)?;
    stage.host.stop(&stage.sandbox()?, std::time::Duration::from_secs(10), false)?;
    let milliseconds =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Ok(json!({
        "inventory": inventory,
        "attacks": attacks,
        "allowed_call": call,
        "audit": { "events": events, "verified": verified },
        "isolation": status.isolation,
        "timings_ms": {
            "prepare": milliseconds(prepared),
            "boot": milliseconds(booted),
            "attacks": milliseconds(attacked),
            "total": milliseconds(begun.elapsed()),
        },
    }))
}
