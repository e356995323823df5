//! A definition that changes, class by class: a live field, a restart field, a replace field, each seen to do just what the
//! plan said, with home, workspace and history kept.

use super::{
    lifecycle::Machine,
    rig::{Home, Upstream},
};

/// The definition, with what the chapters add.
fn spec(rules: &str, env: &str, template: &str) -> String {
    format!(
        "  workspace: {{mode: direct}}\n  network: {{rules: [{rules}]}}\n  env: {{STAGE: {env}}}\n{template}  \
         setup: {{create: [\"echo created >> ~/created\", \"echo system | sudo tee /opt/marker\"]}}\n"
    )
}

const RULE: &str = "{allow: \"live.test:80\", why: a server}";

/// What can be seen of the machine from inside.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Seen {
    boot: String,
    reaches: String,
    stage: String,
    /// Of the system disk: made by the agent, and by the template.
    marker: bool,
    built: bool,
    /// How often `setup.create` ran.
    created: usize,
}

impl Seen {
    fn of(machine: &Machine) -> Self {
        let text = |script: &str| machine.guest(script).ok().trim().to_owned();
        let there = |path: &str| machine.guest(&format!("test -e {path}")).code == 0;
        Self {
            boot: text("cat /proc/sys/kernel/random/boot_id"),
            reaches: text("curl -s -m 20 -o /dev/null -w '%{http_code}' http://live.test/"),
            stage: text("echo $STAGE"),
            marker: there("/opt/marker.own"),
            built: there("/opt/built"),
            created: text("wc -l < ~/created").parse().expect("a number"),
        }
    }
}

/// Plans and applies; gives the plan that `apply` carried out, which begins as the one that `plan` showed.
fn change(home: &Home, spec: &str) -> String {
    home.define("ws", "dev", spec);
    let plan = home.run(&["plan"]).stdout;
    let applied = home.run(&["apply", "--yes", "--wait"]);
    assert_eq!(applied.code, 0, "{applied:#?}");
    let headline = plan.lines().next().unwrap_or_default();
    assert!(applied.stderr.contains(headline), "{plan}\n{applied:#?}");
    assert_eq!(home.status()["phase"], "running");
    applied.stderr
}

#[test]
fn a_live_a_restart_and_a_replace_field_do_just_what_the_plan_said() {
    let server = Upstream::http();
    let home = Home::new("changes");
    home.configure(&format!("egress:\n  resolve: {{\"live.test:80\": \"{}\"}}\n", server.address));
    home.define("ws", "dev", &spec("", "one", ""));
    home.run(&["apply", "--yes", "--wait"]).ok();
    let machine = Machine::of(home);
    let home = &machine.home;
    machine
        .guest("echo kept > ~/note; echo kept > note; echo ls >> ~/.bash_history; sudo touch /opt/marker.own")
        .ok();
    let kept =
        || assert_eq!(machine.guest("cat ~/note note; tail -1 ~/.bash_history").ok(), "kept\nkept\nls\n");
    let first = Seen::of(&machine);
    assert_eq!((first.reaches.as_str(), first.stage.as_str(), first.created), ("403", "one", 1), "{first:?}");

    let plan = change(home, &spec(RULE, "one", ""));
    assert!(plan.contains("dev changes while it runs") && plan.contains("at once: network"), "{plan}");
    let live = Seen::of(&machine);
    assert_eq!(live, Seen { reaches: "200".into(), ..first }, "a rule changes nothing else");

    let plan = change(home, &spec(RULE, "two", ""));
    assert!(plan.contains("dev is started anew") && plan.contains("with the restart: env"), "{plan}");
    let restarted = Seen::of(&machine);
    assert_ne!(restarted.boot, live.boot);
    assert_eq!(restarted, Seen { boot: restarted.boot.clone(), stage: "two".into(), ..live });
    kept();

    let plan = change(home, &spec(RULE, "two", "  template: {run: [\"echo built > /opt/built\"]}\n"));
    assert!(plan.contains("gets a new system disk; home, workspace, caches and history stay"), "{plan}");
    let replaced = Seen::of(&machine);
    let expected =
        Seen { boot: replaced.boot.clone(), marker: false, built: true, created: 2, ..restarted.clone() };
    assert_eq!(replaced, expected, "a new system disk, on which the create steps ran again");
    assert_ne!(replaced.boot, restarted.boot);
    kept();

    let again = home.run(&["apply", "--yes", "--wait"]);
    assert_eq!((again.code, again.stderr.as_str()), (0, "nothing to change\n"));
    assert_eq!(Seen::of(&machine), replaced, "nothing is left to do");
}
