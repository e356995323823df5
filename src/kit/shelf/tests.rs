//! Kits in archives, as a repository names them.

use std::fs;

use crate::{
    kit::{Context, KitFile, LoadError, Loaded, Problem, Selection, kit_archive, load, tests::context},
    model::desired::Sandbox,
};

const SANDBOX: &str = "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: dev}\nspec:\n  agent: AGENT\n  \
                       workspace: {mode: direct}\n  kits: [KITS]\n";
const MIXIN: &str = "apiVersion: cofferdam.dev/v1alpha1\nkind: Mixin\nmetadata: {name: review}\nspec:\n";

struct Repository(tempfile::TempDir);

impl Repository {
    fn new(agent: &str, kits: &str) -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.write("sandbox.yaml", SANDBOX.replace("AGENT", agent).replace("KITS", kits).as_bytes());
        fs::create_dir_all(repository.0.path().join(".git/objects")).unwrap();
        repository.write(".git/HEAD", b"ref: refs/heads/main\n");
        repository
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Packs files into an archive of the repository.
    fn pack(&self, archive: &str, files: &[(&str, &str)]) {
        self.write(archive, &packed(files));
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        let folder = self.0.path().canonicalize().unwrap();
        load(Selection::Default, &Context { home: folder.clone(), folder, ..context() })
    }

    fn sandbox(&self) -> Sandbox {
        match self.load() {
            Ok(loaded) => loaded.sandboxes.into_iter().next().unwrap(),
            Err(error) => panic!("{error}"),
        }
    }

    fn wrong(&self) -> Vec<String> {
        match self.load() {
            Err(LoadError::Invalid(problems)) => problems.iter().map(Problem::to_line).collect(),
            other => panic!("nothing wrong: {other:?}"),
        }
    }
}

fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    let file = |(path, text): &(&str, &str)| KitFile {
        path: (*path).to_owned(),
        bytes: text.as_bytes().to_vec(),
        executable: path.ends_with(".sh"),
    };
    kit_archive(&files.iter().map(file).collect::<Vec<_>>()).unwrap()
}

#[test]
fn an_archive_is_what_its_folder_would_be() {
    let kit = format!("{MIXIN}  env: {{A: \"1\"}}\n");
    let files =
        [("kit.yaml", kit.as_str()), ("files/home/.tool", "x"), ("files/workspace/run.sh", "#!/bin/sh\n")];
    let packed = Repository::new("shell", "./kits/review.tar");
    packed.pack("kits/review.tar", &files);
    let folder = Repository::new("shell", "./kits/review");
    files.iter().for_each(|(path, text)| folder.write(&format!("kits/review/{path}"), text.as_bytes()));
    let script = folder.0.path().join("kits/review/files/workspace/run.sh");
    fs::set_permissions(script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    let (packed, folder) = (packed.sandbox(), folder.sandbox());
    assert_eq!((&packed.env, packed.files.len()), (&folder.env, 2));
    let modes = |sandbox: &Sandbox| {
        sandbox.files.iter().map(|file| (file.mode, file.content.clone())).collect::<Vec<_>>()
    };
    assert_eq!(modes(&packed), modes(&folder));
    assert_eq!(packed.kits[0].digest, folder.kits[0].digest, "one digest, however it is kept");
    assert_eq!(packed.kits[0].source, "kits/review.tar!kit.yaml");
    assert_eq!(packed.origins["env.A"].file.as_deref(), Some("kits/review.tar!kit.yaml"));
}

#[test]
fn an_agent_and_a_kit_of_docker_s_come_from_archives() {
    let agent = "apiVersion: cofferdam.dev/v1alpha1\nkind: Agent\nmetadata: {name: own}\nspec:\n  extends: ./base\n  \
                 command: {interactive: [own]}\n";
    let base = "apiVersion: cofferdam.dev/v1alpha1\nkind: Agent\nmetadata: {name: base}\nspec:\n  \
                command: {interactive: [base]}\n  env: {BASE: \"1\"}\n";
    let spec = "schemaVersion: \"2\"\nkind: mixin\nname: docked\nenvironment: {variables: {DOCKED: \"1\"}}\n";
    let repository = Repository::new("./own.tar", "docked.tar");
    repository.pack("own.tar", &[("kit.yaml", agent), ("base/kit.yaml", base)]);
    repository.pack("docked.tar", &[("spec.yaml", spec)]);
    let sandbox = repository.sandbox();
    assert_eq!(sandbox.agent.command, ["own"]);
    let variables: Vec<_> = sandbox.env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(variables, ["BASE=1", "DOCKED=1"]);
    assert_eq!(sandbox.kits.last().unwrap().source, "docked.tar!spec.yaml");
}

#[test]
fn what_is_wrong_in_an_archive_is_told_with_its_place() {
    let repository =
        Repository::new("shell", "./x.tar, ./gone.tar, ./link.tar, ../out.tar, ./text.tar, ./folder.tar");
    repository.pack("x.tar", &[("kit.yaml", &format!("{MIXIN}  enw: {{}}\n"))]);
    repository.pack("folder.tar", &[("review/kit.yaml", MIXIN)]);
    repository.write("text.tar", b"not an archive");
    std::os::unix::fs::symlink("x.tar", repository.0.path().join("link.tar")).unwrap();
    let found = repository.wrong();
    for words in [
        "x.tar!kit.yaml:5:3: unknown key `enw` in `spec` (did you mean `env`?)",
        "sandbox.yaml:7:19: there is no archive `./gone.tar`",
        "sandbox.yaml:7:31: link.tar: it is a link or lies behind one",
        "sandbox.yaml:7:43: `../out.tar` does not lie in this repository",
        "sandbox.yaml:7:55: text.tar: it is no whole archive",
        "sandbox.yaml:7:67: folder.tar: all of it lies in a folder `review`",
    ] {
        assert!(found.iter().any(|line| line.starts_with(words)), "{words}\n{found:#?}");
    }
}

/// The secret of a service goes where the program or the repository's own files say.
#[test]
fn a_kit_does_not_say_again_what_a_service_is() {
    let service = "---\napiVersion: cofferdam.dev/v1alpha1\nkind: Service\nmetadata: {name: NAME}\nspec:\n  \
                   hosts: [\"keys.example\"]\n  inject: {header: authorization, format: \"Bearer {}\"}\n  why: keys\n";
    let repository = Repository::new("shell", "./x.tar");
    let pack = |name: &str| {
        let text = format!("{MIXIN}  env: {{A: b}}\n{}", service.replace("NAME", name));
        repository.pack("x.tar", &[("kit.yaml", &text)]);
    };
    pack("github");
    let found = repository.wrong();
    assert!(found[0].starts_with("x.tar!kit.yaml:9:18: there is a service `github` already"), "{found:#?}");
    pack("another");
    repository.sandbox();
}

/// A kit from an archive names no folder beside it, no archive inside, and nothing around it.
#[test]
fn an_archive_reaches_nothing_of_the_repository() {
    let repository = Repository::new("shell", "./x.tar");
    repository.pack("y.tar", &[("kit.yaml", MIXIN)]);
    repository.write("secret", b"s");
    for (line, words) in [
        ("  extends: ./y.tar\n", "`./y.tar` would lie in an archive itself"),
        ("  extends: ../kits/z\n", "`../kits/z` does not lie in this repository"),
        ("  files: [{path: ~/s, source: ../secret}]\n", "`../secret`"),
        ("  mounts: [{source: data, why: w}]\n", "`data` begins at a kit that is no folder of this host"),
        ("  mounts: [{source: ../secret, why: w}]\n", "begins at a kit that is no folder"),
    ] {
        repository.pack("x.tar", &[("kit.yaml", &format!("{MIXIN}{line}"))]);
        let found = repository.wrong();
        assert!(found.iter().any(|found| found.contains(words)), "{line}: {found:#?}");
    }
    // The break: what lies inside is found by the same words.
    repository.pack(
        "x.tar",
        &[("kit.yaml", &format!("{MIXIN}  files: [{{path: ~/s, source: ./secret}}]\n")), ("secret", "inner")],
    );
    assert_eq!(repository.sandbox().files[0].content, b"inner");
}

/// Where a file of `files/workspace` lies is known when the workspace is.
#[test]
fn a_file_of_a_kit_and_one_of_the_sandbox_at_one_place_in_the_workspace_clash() {
    for (kit, own, says) in [
        ("a", "a", "are one file"),
        ("a", "a/b", "lies beneath"),
        ("a/b", "a", "lies beneath"),
        ("a", "ab", ""),
    ] {
        let repository = Repository::new("shell", "./kits/review");
        repository.write("kits/review/kit.yaml", format!("{MIXIN}  env: {{A: b}}\n").as_bytes());
        repository.write(&format!("kits/review/files/workspace/{kit}"), b"of the kit");
        let root = repository.0.path().canonicalize().unwrap();
        let files = format!("  files: [{{path: {}/{own}, content: x}}]\n", root.display());
        let sandbox = SANDBOX.replace("AGENT", "shell").replace("KITS", "./kits/review") + &files;
        repository.write("sandbox.yaml", sandbox.as_bytes());
        match says {
            "" => assert_eq!(repository.sandbox().files.len(), 2),
            _ => {
                let wrong = repository.wrong();
                assert!(wrong.len() == 1 && wrong[0].contains(says), "{kit} {own}: {wrong:?}");
                assert!(wrong[0].starts_with("sandbox.yaml:8:"), "{wrong:?}");
            }
        }
    }
}
