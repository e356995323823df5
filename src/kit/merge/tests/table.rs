//! The rows: who says what, and what is then another than without it.

use crate::kit::rule::Rule;

/// Who says something, lowest first: the agent that is extended, the agent, two mixins, the sandbox, its local file, the
/// user's own mixin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Base,
    Agent,
    A,
    B,
    Sandbox,
    Local,
    User,
}

use Who::{A, Agent, B, Base, Local, User};

impl Who {
    pub(super) const ALL: [Self; 7] = [Base, Agent, A, B, Self::Sandbox, Local, User];

    /// Its file, and what it says in any case; what a row adds begins on the line after.
    pub(super) fn file(self) -> (&'static str, &'static str) {
        match self {
            Base => (
                "repository/kits/base/kit.yaml",
                "kind: Agent\nmetadata: {name: base}\nspec:\n  command: {interactive: [base]}\n",
            ),
            Agent => (
                "repository/kits/agent/kit.yaml",
                "kind: Agent\nmetadata: {name: agent}\nspec:\n  extends: base\n",
            ),
            A => (
                "repository/kits/a/kit.yaml",
                "kind: Mixin\nmetadata: {name: a}\nspec:\n  requires: {agent: [base]}\n",
            ),
            B => (
                "repository/kits/b/kit.yaml",
                "kind: Mixin\nmetadata: {name: b}\nspec:\n  requires: {agent: [base]}\n",
            ),
            Self::Sandbox => (
                "repository/sandbox.yaml",
                "kind: Sandbox\nmetadata: {name: dev}\nspec:\n  agent: agent\n  kits: [a, b]\n",
            ),
            Local => ("repository/sandbox.local.yaml", "kind: Sandbox\nmetadata: {name: dev}\nspec:\n"),
            User => ("config/sandbox.yaml", "kind: Mixin\nmetadata: {name: me}\nspec:\n"),
        }
    }

    /// Its name in what a row expects.
    pub(super) fn word(self) -> &'static str {
        ["base", "agent", "a", "b", "sandbox", "local", "user"][self as usize]
    }
}

/// One row: who says what, and what is then another than without it.
pub(super) struct Row {
    pub(super) rule: Rule,
    pub(super) says: &'static [(Who, &'static str)],
    pub(super) then: &'static [&'static str],
}

const fn row(rule: Rule, says: &'static [(Who, &'static str)], then: &'static [&'static str]) -> Row {
    Row { rule, says, then }
}

const SANDBOX: Who = Who::Sandbox;

/// `hide` and ceilings of an organisation are not here: the one is not available yet, the other is no part of a merge.
pub(super) const TABLE: &[Row] = &[
    // Scalars: the last wins, along the whole stack.
    row(
        Rule::LastWins,
        &[(Base, "resources: {cpus: 1}"), (Agent, "resources: {cpus: 2}")],
        &["resources.cpus = 2 @ agent:6"],
    ),
    row(
        Rule::LastWins,
        &[(Agent, "resources: {cpus: 1}"), (A, "resources: {cpus: 2}")],
        &["resources.cpus = 2 @ a:6"],
    ),
    row(
        Rule::LastWins,
        &[(B, "resources: {memory: 1GiB}"), (SANDBOX, "resources: {memory: 2GiB}")],
        &["resources.memory = 2147483648 @ sandbox:7"],
    ),
    row(
        Rule::LastWins,
        &[(SANDBOX, "resources: {disk: 9GiB}"), (Local, "resources: {disk: 10GiB}")],
        &["resources.disk = 10737418240 @ local:5"],
    ),
    row(
        Rule::LastWins,
        &[(Local, "resources: {cpus: 1}"), (User, "resources: {cpus: 2}")],
        &["resources.cpus = 2 @ user:5"],
    ),
    row(
        Rule::LastWins,
        &[(Agent, "template: {image: debian-12}"), (SANDBOX, "template: {image: debian-12}")],
        &["template.image = \"debian-12\" @ sandbox:7"],
    ),
    row(
        Rule::LastWins,
        &[
            (
                SANDBOX,
                "start: always\ncommand: [x]\nargs: [-a]\ntty: false\nworkspace: {path: ., mode: direct}\nworkingDir: a\nnetwork: {preset: open}\ntask: {prompt: one, timeout: 9m}",
            ),
            (
                Local,
                "start: onDemand\ncommand: [y]\nargs: [-b]\ntty: true\nworkspace: {path: ./sub, mode: read}\nworkingDir: b\nnetwork: {preset: balanced}\ntask: {prompt: two, timeout: 3m}",
            ),
        ],
        &[
            "agent.args = ? @ local:7",
            "agent.command = [\"y\",\"-b\"] @ local:6",
            "agent.tty = true @ local:8",
            "network.preset = \"balanced\" @ local:11",
            "start = \"onDemand\" @ local:5",
            "task.prompt = \"two\" @ local:12",
            "task.timeout = ? @ local:12",
            "workingDir = \"[ROOT]/repository/sub/b\" @ local:10",
            "workspace.mode = \"read\" @ local:9",
            "workspace.path = \"[ROOT]/repository/sub\" @ local:9",
        ],
    ),
    // What the local file does not say of a task, the sandbox still does.
    row(
        Rule::LastWins,
        &[(SANDBOX, "task: {prompt: one, timeout: 9m}"), (Local, "task: {prompt: two}")],
        &["task.prompt = \"two\" @ local:5", "task.timeout = ? @ sandbox:7"],
    ),
    row(
        Rule::LastWins,
        &[
            (Base, "# command"),
            (Agent, "command: {interactive: [new], task: [new, \"${{ task.prompt }}\"], resume: [new, -c]}"),
        ],
        &[
            "agent.command = [\"new\"] @ agent:6",
            "agent.resume = [\"new\",\"-c\"] @ agent:6",
            "agent.task = [\"new\",\"${{ task.prompt }}\"] @ agent:6",
        ],
    ),
    // Two mixins that differ, two that agree, and what settles it.
    row(
        Rule::MixinsAgree,
        &[(A, "resources: {cpus: 1}"), (B, "resources: {cpus: 2}")],
        &["! b:6:21: kit `a` (a:6) and kit `b` both set `resources.cpus` [the other: a:6]"],
    ),
    row(
        Rule::MixinsAgree,
        &[(A, "resources: {disk: 9GiB}"), (B, "resources: {disk: 10GiB}")],
        &["! b:6:21: kit `a` (a:6) and kit `b` both set `resources.disk` [the other: a:6]"],
    ),
    row(
        Rule::LastWins,
        &[(A, "resources: {cpus: 1}"), (B, "resources: {cpus: 1}")],
        &["resources.cpus = 1 @ b:6"],
    ),
    row(
        Rule::SandboxSettles,
        &[(A, "resources: {cpus: 1}"), (B, "resources: {cpus: 2}"), (SANDBOX, "resources: {cpus: 3}")],
        &["resources.cpus = 3 @ sandbox:7"],
    ),
    row(
        Rule::SandboxSettles,
        &[(A, "resources: {cpus: 1}"), (B, "resources: {cpus: 2}"), (Local, "resources: {cpus: 3}")],
        &["resources.cpus = 3 @ local:5"],
    ),
    row(
        Rule::SandboxSettles,
        &[(A, "resources: {cpus: 1}"), (B, "resources: {cpus: 2}"), (User, "resources: {cpus: 3}")],
        &["resources.cpus = 3 @ user:5"],
    ),
    row(
        Rule::SandboxSettles,
        &[(A, "env: {K: a}"), (B, "env: {K: b}"), (SANDBOX, "env: {K: c}")],
        &["env.K = \"c\" @ sandbox:7"],
    ),
    // Maps: by key, the last wins; one key of two mixins.
    row(
        Rule::ByKey,
        &[
            (Base, "env: {Z: z}"),
            (Agent, "env: {Y: y}"),
            (A, "env: {X: x}"),
            (SANDBOX, "env: {W: w}"),
            (Local, "env: {V: v}"),
            (User, "env: {U: u}"),
        ],
        &[
            "env.U = \"u\" @ user:5",
            "env.V = \"v\" @ local:5",
            "env.W = \"w\" @ sandbox:7",
            "env.X = \"x\" @ a:6",
            "env.Y = \"y\" @ agent:6",
            "env.Z = \"z\" @ base:6",
        ],
    ),
    row(
        Rule::LastWins,
        &[
            (Base, "env: {K: \"1\"}"),
            (Agent, "env: {K: \"2\"}"),
            (A, "env: {K: \"3\"}"),
            (Local, "env: {K: \"4\"}"),
        ],
        &["env.K = \"4\" @ local:5"],
    ),
    row(
        Rule::KeyOnce,
        &[(A, "env: {K: same}"), (B, "env: {K: same}")],
        &["! b:6:12: kit `a` (a:6) and kit `b` both set `env.K` [the other: a:6]"],
    ),
    // Lists: one after the other, identical entries folded, each with its own place.
    row(
        Rule::Lists,
        &[
            (Base, "install: [one]"),
            (Agent, "install: [two]"),
            (A, "template: {packages: [jq], run: [three]}"),
            (SANDBOX, "template: {packages: [curl], run: [four]}"),
            (User, "template: {run: [five]}"),
        ],
        &[
            "template.packages.curl = ? @ sandbox:7",
            "template.packages.jq = ? @ a:6",
            "template.steps: five @ user:5",
            "template.steps: four @ sandbox:7",
            "template.steps: one @ base:6",
            "template.steps: three @ a:6",
            "template.steps: two @ agent:6",
        ],
    ),
    row(
        Rule::Lists,
        &[
            (Agent, "setup: {create: [one], start: [two]}"),
            (B, "setup: {create: [three]}"),
            (SANDBOX, "setup: {start: [four]}"),
        ],
        &[
            "setup.create: one @ agent:6",
            "setup.create: three @ b:6",
            "setup.start: four @ sandbox:7",
            "setup.start: two @ agent:6",
        ],
    ),
    row(
        Rule::Lists,
        &[
            (A, "files: [{path: ~/.a, content: x}]\nports: [{guest: 1}]"),
            (Local, "files: [{path: ~/.b, content: x}]\nports: [{guest: 2}]"),
        ],
        &["files: ~/.a @ a:6", "files: ~/.b @ local:5", "ports: 1 @ a:7", "ports: 2 @ local:6"],
    ),
    row(
        Rule::Lists,
        &[
            (SANDBOX, "mounts: [{source: \"~/one\", target: /one, why: x}]"),
            (User, "mounts: [{source: \"~/two\", target: /two, why: x}]"),
        ],
        &["mounts: /one @ sandbox:7", "mounts: /two @ user:5"],
    ),
    row(
        Rule::Lists,
        &[
            (Agent, "network: {rules: [{allow: a.vendor.example, why: x}]}"),
            (SANDBOX, "network: {rules: [{ask: b.vendor.example, why: x}]}"),
        ],
        &[
            "network.rules: allow a.vendor.example @ agent:6",
            "network.rules: ask b.vendor.example @ sandbox:7",
        ],
    ),
    // No deny can be removed from below, nor by an allow of the same.
    row(
        Rule::Lists,
        &[
            (Base, "network: {rules: [{deny: a.vendor.example}]}"),
            (Agent, "network: {rules: [{allow: a.vendor.example, why: x}]}"),
            (A, "network: {rules: [{deny: b.vendor.example}]}"),
            (SANDBOX, "network: {rules: [{allow: b.vendor.example, why: x}]}"),
            (User, "network: {rules: [{deny: c.vendor.example}]}"),
        ],
        &[
            "network.rules: allow a.vendor.example @ agent:6",
            "network.rules: allow b.vendor.example @ sandbox:7",
            "network.rules: deny a.vendor.example @ base:6",
            "network.rules: deny b.vendor.example @ a:6",
            "network.rules: deny c.vendor.example @ user:5",
        ],
    ),
    row(
        Rule::Folded,
        &[
            (A, "network: {rules: [{allow: a.vendor.example, why: mine}]}"),
            (B, "network: {rules: [{allow: a.vendor.example, why: another reason}]}"),
        ],
        &["network.rules: allow a.vendor.example @ a:6"],
    ),
    row(
        Rule::Folded,
        &[(A, "setup: {create: [make]}"), (SANDBOX, "setup: {create: [make]}")],
        &["setup.create: make @ a:6"],
    ),
    row(Rule::Folded, &[(A, "install: [make]"), (B, "install: [make]")], &["template.steps: make @ a:6"]),
    row(Rule::Folded, &[(A, "ports: [{guest: 1}]"), (B, "ports: [{guest: 1}]")], &["ports: 1 @ a:6"]),
    row(
        Rule::Folded,
        &[(A, "files: [{path: ~/.a, content: x}]"), (B, "files: [{path: ~/.a, content: x}]")],
        &["files: ~/.a @ a:6"],
    ),
    row(
        Rule::Once,
        &[(A, "files: [{path: ~/.a, content: x}]"), (SANDBOX, "files: [{path: ~/.a, content: y}]")],
        &["! sandbox:7:18: the file `~/.a` stands twice [the other: a:6]"],
    ),
    // A file is where the guest finds it, however its path is written; nothing lies beneath one.
    row(
        Rule::Folded,
        &[(A, "files: [{path: ~/.a, content: x}]"), (B, "files: [{path: /home/agent/.a, content: x}]")],
        &["files: ~/.a @ a:6"],
    ),
    row(
        Rule::Once,
        &[(A, "files: [{path: ~/.a, content: x}]"), (B, "files: [{path: /home/agent/.a, content: y}]")],
        &["! b:6:18: `/home/agent/.a` and `~/.a` are one file [the other: a:6]"],
    ),
    row(
        Rule::Once,
        &[
            (Base, "files: [{path: /home//agent/./a, content: x}]"),
            (User, "files: [{path: ~/a, content: y}]"),
        ],
        &["! user:5:18: `~/a` and `/home/agent/a` are one file [the other: base:6]"],
    ),
    row(
        Rule::Once,
        &[(A, "files: [{path: ~/a, content: x}]"), (B, "files: [{path: /home/agent/a/b/c, content: x}]")],
        &["! b:6:18: `/home/agent/a/b/c` lies beneath `~/a`, which is a file [the other: a:6]"],
    ),
    row(
        Rule::Once,
        &[(A, "files: [{path: /etc/a/b, content: x}]"), (SANDBOX, "files: [{path: /etc/a, content: x}]")],
        &["! sandbox:7:18: `/etc/a/b` lies beneath `/etc/a`, which is a file [the other: a:6]"],
    ),
    row(
        Rule::Lists,
        &[
            (A, "files: [{path: ~/a, content: x}]"),
            (B, "files: [{path: ~/ab, content: x}, {path: /a, content: x}]"),
        ],
        &["files: /a @ b:6", "files: ~/a @ a:6", "files: ~/ab @ b:6"],
    ),
    row(
        Rule::Once,
        &[(A, "ports: [{guest: 1}]"), (SANDBOX, "ports: [{guest: 1, host: 2}]")],
        &["! sandbox:7:11: the guest port 1 is published twice [the other: a:6]"],
    ),
    // Lists of things with a name: by name.
    row(
        Rule::LastWins,
        &[
            (A, "network: {hostServices: [{name: model, port: 1, why: x}]}"),
            (SANDBOX, "network: {hostServices: [{name: model, port: 2, why: x}]}"),
        ],
        &["network.hostServices: model 2 @ sandbox:7"],
    ),
    row(
        Rule::MixinsAgree,
        &[
            (A, "network: {hostServices: [{name: model, port: 1, why: x}]}"),
            (B, "network: {hostServices: [{name: model, port: 2, why: x}]}"),
        ],
        &["! b:6:35: kit `a` (a:6) and kit `b` say different things about `model` [the other: a:6]"],
    ),
    row(
        Rule::LastWins,
        &[
            (
                A,
                "network: {rules: [{allow: a.vendor.example, why: x}]}\nsecrets: [{name: key, env: ONE, inject: [{host: a.vendor.example, header: x-key}], why: x}]",
            ),
            (
                Local,
                "secrets: [{name: key, env: TWO, inject: [{host: a.vendor.example, header: x-key}], why: x}]",
            ),
        ],
        &["network.rules: allow a.vendor.example @ a:6", "secrets: key TWO @ local:5"],
    ),
    // The strictest isolation, whoever comes later.
    row(
        Rule::Strictest,
        &[(Base, "isolation: hardware"), (Agent, "isolation: emulation-ok")],
        &["isolation = \"hardware\" @ base:6"],
    ),
    row(
        Rule::Strictest,
        &[(A, "isolation: hardware"), (B, "isolation: emulation-ok"), (SANDBOX, "isolation: emulation-ok")],
        &["isolation = \"hardware\" @ a:6"],
    ),
    row(
        Rule::Strictest,
        &[(SANDBOX, "isolation: hardware"), (User, "isolation: emulation-ok")],
        &["isolation = \"hardware\" @ sandbox:7"],
    ),
    // What is locked, nothing after it sets.
    row(
        Rule::Locked,
        &[(Base, "env: {K: base}\nlocked: [env.K]"), (Agent, "env: {K: agent}")],
        &["! agent:6:9: `env.K` is locked by agent `base` (base:7) [locked]"],
    ),
    row(
        Rule::Locked,
        &[(Base, "env: {K: base}\nlocked: [env.K]"), (A, "env: {K: a}")],
        &["! a:6:9: `env.K` is locked by agent `agent` (base:7) [locked]"],
    ),
    row(
        Rule::Locked,
        &[(Agent, "locked: [command]"), (SANDBOX, "command: [sh]")],
        &["! sandbox:7:3: `command.interactive` is locked by agent `agent` (agent:6) [locked]"],
    ),
    row(
        Rule::Locked,
        &[(A, "locked: [network.rules]"), (Local, "network: {rules: [{allow: a.vendor.example, why: x}]}")],
        &["! local:5:13: `network.rules` is locked by kit `a` (a:6) [locked]"],
    ),
];
