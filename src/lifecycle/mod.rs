//! One sandbox as a state machine: what may happen, and what is then to be done. Pure; the keeper owns the state and
//! performs the actions.
//!
//! ```text
//!            GuestReady                StopAsked / GuestStopping
//! Starting ─────────────▶ Running ─────────────────────────────▶ Stopping ──┐
//!    │  └──── StopAsked ──────┼───────────────────────────────▶ (kill)      │ the machine ends
//!    │                        │                                             ▼
//!    └─ BootTimeout, a zone ends, the machine ends ─▶ Failed             Stopped
//! ```
//!
//! A zone that ends takes the whole sandbox down: what it enforced is no longer enforced.

use crate::model::status::Phase;

/// Everything that can happen to a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A process could not be started; the text says which and why.
    StartFailed(String),
    /// The guest answers.
    GuestReady,
    /// The guest did not answer in time.
    BootTimeout {
        /// How long it was given, in seconds.
        after_s: u64,
    },
    /// Somebody wants it down.
    StopAsked,
    /// The guest goes down by itself.
    GuestStopping,
    /// The guest took too long to go down.
    GraceOver,
    /// The machine's process has ended; the text says how.
    MachineEnded(String),
    /// Another zone has ended; the text says which and how.
    ZoneEnded(String),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ask the guest to power off, and start the grace.
    PowerOff,
    /// Kill every process.
    KillAll,
}

/// A sandbox's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    phase: Phase,
    reason: Option<String>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { phase: Phase::Starting, reason: None }
    }
}

impl Lifecycle {
    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Why, where that needs a word.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Whether nothing can happen any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Stopped | Phase::Failed)
    }

    /// Takes an event in, gives what is to be done. Events that mean nothing in a state change nothing.
    pub fn apply(&mut self, event: Event) -> Option<Action> {
        use Phase::{Failed, Running, Starting, Stopped, Stopping};
        match (self.phase, event) {
            (Stopped | Failed, _)
            | (Stopping, Event::StopAsked | Event::GuestStopping | Event::BootTimeout { .. }) => None,
            (Starting, Event::GuestReady) => self.to(Running, None, None),
            (Starting, Event::BootTimeout { after_s }) => {
                let reason = format!(
                    "the guest did not answer within {after_s} s; `logs --console` shows its console"
                );
                self.to(Failed, Some(reason), Some(Action::KillAll))
            }
            (Starting, Event::StopAsked) => self.to(Stopping, None, Some(Action::KillAll)),
            (Running, Event::StopAsked) => self.to(Stopping, None, Some(Action::PowerOff)),
            (Starting | Running, Event::GuestStopping) => {
                self.to(Stopping, Some("powered off from inside".to_owned()), None)
            }
            (Stopping, Event::GraceOver) => Some(Action::KillAll),
            (Stopping, Event::MachineEnded(_) | Event::ZoneEnded(_)) => {
                let reason = self.reason.take();
                self.to(Stopped, reason, Some(Action::KillAll))
            }
            (_, Event::StartFailed(why) | Event::MachineEnded(why) | Event::ZoneEnded(why)) => {
                self.to(Failed, Some(why), Some(Action::KillAll))
            }
            (Running | Stopping, Event::GuestReady)
            | (Running, Event::BootTimeout { .. } | Event::GraceOver)
            | (Starting, Event::GraceOver) => None,
        }
    }

    fn to(&mut self, phase: Phase, reason: Option<String>, action: Option<Action>) -> Option<Action> {
        self.phase = phase;
        self.reason = reason;
        action
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn story(events: &[Event]) -> (Lifecycle, Vec<Action>) {
        let mut lifecycle = Lifecycle::default();
        let actions = events.iter().filter_map(|event| lifecycle.apply(event.clone())).collect();
        (lifecycle, actions)
    }

    #[test]
    fn it_boots_and_is_stopped() {
        let ended = Event::MachineEnded("exit 0".to_owned());
        let (lifecycle, actions) = story(&[Event::GuestReady, Event::StopAsked, ended]);
        assert_eq!((lifecycle.phase(), lifecycle.reason()), (Phase::Stopped, None));
        assert_eq!(actions, [Action::PowerOff, Action::KillAll]);
    }

    #[test]
    fn a_stop_while_it_boots_kills() {
        assert_eq!(story(&[Event::StopAsked]).1, [Action::KillAll]);
    }

    #[test]
    fn a_guest_that_hangs_at_boot_fails_with_the_reason() {
        let (lifecycle, actions) = story(&[Event::BootTimeout { after_s: 60 }, Event::GuestReady]);
        assert_eq!(lifecycle.phase(), Phase::Failed);
        assert!(lifecycle.reason().unwrap().contains("60 s"));
        assert_eq!(actions, [Action::KillAll]);
    }

    #[test]
    fn a_zone_that_ends_takes_the_sandbox_down() {
        let (lifecycle, actions) =
            story(&[Event::GuestReady, Event::ZoneEnded("egress: signal 9".to_owned())]);
        assert_eq!((lifecycle.phase(), lifecycle.reason()), (Phase::Failed, Some("egress: signal 9")));
        assert_eq!(actions, [Action::KillAll]);
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::StartFailed("x".to_owned())),
            Just(Event::GuestReady),
            Just(Event::BootTimeout { after_s: 1 }),
            Just(Event::StopAsked),
            Just(Event::GuestStopping),
            Just(Event::GraceOver),
            Just(Event::MachineEnded("x".to_owned())),
            Just(Event::ZoneEnded("x".to_owned())),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_the_end_of_the_machine_is_the_end(events in prop::collection::vec(any_event(), 0..12)) {
            let (mut lifecycle, _) = story(&events);
            lifecycle.apply(Event::MachineEnded("x".to_owned()));
            prop_assert!(lifecycle.is_over());
        }

        #[test]
        fn what_is_over_stays_over(events in prop::collection::vec(any_event(), 0..12), after in any_event()) {
            let (mut lifecycle, _) = story(&events);
            if lifecycle.is_over() {
                let before = lifecycle.clone();
                prop_assert_eq!(lifecycle.apply(after), None);
                prop_assert_eq!(lifecycle, before);
            }
        }
    }
}
