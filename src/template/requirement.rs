//! Which programs of the host we call, which package brings each, and the command that installs them.

use serde::Serialize;

use super::host::{Distribution, Host};

/// A program of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// Its file name.
    pub program: &'static str,
    /// The Debian and Ubuntu package that brings it.
    pub package: &'static str,
    /// What we need it for.
    pub why: &'static str,
    /// Not needed when we run as root.
    pub only_unprivileged: bool,
}

const fn needs(program: &'static str, package: &'static str, why: &'static str) -> Requirement {
    Requirement { program, package, why, only_unprivileged: false }
}

/// Everything that a full installation calls. `apt-get` and `dpkg-deb` have no install command: a host without
/// them is no Debian.
pub const REQUIREMENTS: [Requirement; 11] = [
    needs("qemu-system-x86_64", "qemu-system-x86", "runs the machine"),
    needs("apt-get", "apt", "fetches the guest's kernel"),
    needs("apt-cache", "apt", "finds the guest's kernel"),
    needs("apt-config", "apt", "finds how this host reaches its mirrors"),
    needs("dpkg-deb", "dpkg", "unpacks the guest's kernel"),
    needs("depmod", "kmod", "indexes the guest's kernel modules"),
    needs("mmdebstrap", "mmdebstrap", "builds the base template"),
    needs("tar2sqfs", "squashfs-tools-ng", "packs the base template"),
    needs("gensquashfs", "squashfs-tools-ng", "packs the guest's kernel modules"),
    needs("mke2fs", "e2fsprogs", "makes the sandbox's disks"),
    Requirement {
        program: "newuidmap",
        package: "uidmap",
        why: "builds the base template without root",
        only_unprivileged: true,
    },
];

/// The programs that this host lacks.
#[must_use]
pub fn missing(host: &Host) -> Vec<Requirement> {
    let lacks = |one: &Requirement| host.find(one.program).is_none();
    REQUIREMENTS.into_iter().filter(|one| lacks(one) && !(one.only_unprivileged && host.superuser)).collect()
}

/// The commands that bring these programs, each as a program and its arguments, to be run in order; `None`
/// where the host's package manager is not apt, so that only the programs' names can be told.
#[must_use]
pub fn install_commands(
    missing: &[Requirement],
    distribution: &Distribution,
    superuser: bool,
) -> Option<Vec<Vec<String>>> {
    let no_apt = missing.iter().any(|one| one.package == "apt");
    if missing.is_empty() || no_apt || !distribution.has_apt() {
        return None;
    }
    let mut packages: Vec<&str> = Vec::new();
    for one in missing {
        if !packages.contains(&one.package) {
            packages.push(one.package);
        }
    }
    let install = ["apt-get", "install", "--yes", "--no-install-recommends"];
    let update = refresh_command(superuser);
    let install = install.into_iter().chain(packages);
    Some(vec![update, with_sudo(superuser).chain(install).map(str::to_owned).collect()])
}

/// The command that refreshes the package lists.
#[must_use]
pub fn refresh_command(superuser: bool) -> Vec<String> {
    with_sudo(superuser).chain(["apt-get", "update"]).map(str::to_owned).collect()
}

/// One line that a person can paste into a shell.
#[must_use]
pub fn shell_line(commands: &[Vec<String>]) -> String {
    commands.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join(" && ")
}

fn with_sudo<'a>(superuser: bool) -> impl Iterator<Item = &'a str> {
    (!superuser).then_some("sudo").into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::fake::FakeHost;

    fn debian() -> Distribution {
        Distribution::parse("ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n")
    }

    #[test]
    fn a_bare_debian_gets_one_exact_line() {
        let fake = FakeHost::new();
        for present in ["apt-get", "apt-cache", "apt-config", "dpkg-deb", "mke2fs"] {
            fake.tool(present, "");
        }
        let commands = install_commands(&missing(&fake.host), &debian(), false).unwrap();
        assert_eq!(
            shell_line(&commands),
            "sudo apt-get update && sudo apt-get install --yes --no-install-recommends \
             qemu-system-x86 kmod mmdebstrap squashfs-tools-ng uidmap"
        );
        let mut root = fake.host.clone();
        root.superuser = true;
        let line = shell_line(&install_commands(&missing(&root), &debian(), true).unwrap());
        assert_eq!(
            line,
            "apt-get update && apt-get install --yes --no-install-recommends \
             qemu-system-x86 kmod mmdebstrap squashfs-tools-ng"
        );
    }

    #[test]
    fn elsewhere_only_names_are_told() {
        let fake = FakeHost::new();
        let lacks = missing(&fake.host);
        assert_eq!(lacks.len(), REQUIREMENTS.len());
        assert_eq!(install_commands(&lacks, &Distribution::parse("ID=fedora\n"), true), None);
        // Debian by name, but without apt: nothing could run the command.
        assert_eq!(install_commands(&lacks, &debian(), true), None);
        assert_eq!(install_commands(&[], &debian(), true), None);
    }
}
