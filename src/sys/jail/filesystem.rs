//! Landlock: the file system, and what newer kernels add.

use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};

use super::Jail;

/// What a file server does in its tree: no devices, sockets or pipes, no execution.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    WriteFile | RemoveDir | RemoveFile | MakeDir | MakeReg | MakeSym | Refer | Truncate
});

/// The rules, with every path opened: before the user changes, who may not search the folders on the way.
pub(super) fn prepare(jail: &Jail) -> io::Result<RulesetCreated> {
    let newest = ABI::V6;
    let handled = AccessFs::from_all(newest);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)
        .map_err(io::Error::other)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)
        .map_err(io::Error::other)?;
    let mut tcp = BitFlags::from(AccessNet::BindTcp);
    if !jail.profile.needs_network() {
        tcp |= AccessNet::ConnectTcp;
    }
    ruleset = ruleset.handle_access(tcp).map_err(io::Error::other)?;
    let mut created = ruleset.create().map_err(io::Error::other)?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let grants = [
        (&jail.readable, read),
        (&jail.executable, read | AccessFs::Execute),
        (&jail.devices, AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev),
    ];
    for (paths, access) in grants {
        for path in paths {
            // A library directory that this distribution does not have needs no rule.
            if !path.exists() {
                continue;
            }
            let descriptor = PathFd::new(path).map_err(io::Error::other)?;
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(newest) };
            created = created.add_rule(PathBeneath::new(descriptor, access)).map_err(io::Error::other)?;
        }
    }
    for tree in &jail.trees {
        let descriptor =
            PathFd::new(format!("/proc/self/fd/{}", tree.descriptor)).map_err(io::Error::other)?;
        let access = if tree.write { WRITE | read } else { read };
        created = created.add_rule(PathBeneath::new(descriptor, access)).map_err(io::Error::other)?;
    }
    Ok(created)
}

/// Restricts this process to the rules; gives the names of the layers that this kernel lacks.
pub(super) fn restrict(rules: RulesetCreated) -> io::Result<Vec<String>> {
    match rules.restrict_self().map_err(io::Error::other)?.ruleset {
        RulesetStatus::FullyEnforced => Ok(Vec::new()),
        RulesetStatus::PartiallyEnforced => {
            Ok(vec!["newer parts of Landlock (signals, abstract sockets)".to_owned()])
        }
        RulesetStatus::NotEnforced => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel has no Landlock; boot one with CONFIG_SECURITY_LANDLOCK and `landlock` in lsm=",
        )),
    }
}
