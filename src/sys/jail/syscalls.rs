//! seccomp: system calls that a zone is refused.
//!
//! Landlock does not stop connecting to a path-named socket, nor the path forms of chmod, chown, utime, truncate and
//! setxattr, nor UDP; this list does. A refused call answers `EPERM`, so that a library's probe of a feature does
//! not end the zone; `clone3`, whose flags a filter cannot see, answers `ENOSYS`, and libraries fall back to `clone`.

use std::{collections::BTreeMap, io};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, sock_filter,
};
use serde::{Deserialize, Serialize};

/// Number at which the VMM zone holds the emulator's program when it executes it: the only `execveat` allowed.
pub const PROGRAM_DESCRIPTOR: i32 = 250;

/// Which system calls a zone needs beyond those that every zone has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// Works on what it was handed, and nothing else.
    Sealed,
    /// As [`Profile::Sealed`], and executes one program by descriptor first.
    Emulator,
    /// Opens TCP and UDP sockets.
    Network,
}

impl Profile {
    /// Whether it must stay in the host's network namespace.
    #[must_use]
    pub fn needs_network(self) -> bool {
        self == Self::Network
    }
}

/// Refused to every zone.
const REFUSED: &[libc::c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_execve,
    libc::SYS_fork,
    libc::SYS_vfork,
    // Sockets that listen or are named.
    libc::SYS_bind,
    libc::SYS_listen,
    // Path forms that Landlock does not see.
    libc::SYS_chmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // The shape of the system.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_personality,
    libc::SYS_vhangup,
    // Who we are.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    // Large parts of the kernel that no zone needs.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_mq_open,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_shmget,
];

/// `fchmodat2`, which libc does not name on every version.
const SYS_FCHMODAT2: libc::c_long = 452;

/// Flags of `clone` that make a namespace.
const CLONE_NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u64;

/// Numbers from here on are those of the x32 interface: the same calls under other numbers.
const X32_BIT: u32 = 0x4000_0000;

/// Installs the filter for every thread that will be.
pub(super) fn install(profile: Profile) -> io::Result<()> {
    let refused = compile(refusals(profile)?, libc::EPERM)?;
    let absent = compile(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?;
    for program in [absent, refused] {
        apply_filter(&refuse_x32(program)).map_err(io::Error::other)?;
    }
    Ok(())
}

fn refusals(profile: Profile) -> io::Result<BTreeMap<libc::c_long, Vec<SeccompRule>>> {
    let mut rules: BTreeMap<_, _> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    // Setting times by descriptor (a null path) is what the file server does.
    rules.insert(libc::SYS_utimensat, vec![rule(1, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?]);
    // A datagram pair could be connected to a named socket afterwards; a stream pair cannot.
    let kind = SeccompCmpOp::MaskedEq(0xf);
    rules.insert(
        libc::SYS_socketpair,
        vec![
            rule(1, SeccompCmpArgLen::Dword, kind.clone(), libc::SOCK_DGRAM as u64)?,
            rule(1, SeccompCmpArgLen::Dword, kind, libc::SOCK_RAW as u64)?,
        ],
    );
    let mut namespaces = Vec::new();
    for bit in (0..64).map(|shift| 1_u64 << shift).filter(|bit| bit & CLONE_NAMESPACES != 0) {
        namespaces.push(rule(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(bit), bit)?);
    }
    rules.insert(libc::SYS_clone, namespaces);
    rules.insert(libc::SYS_ioctl, vec![rule(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::TIOCSTI)?]);
    match profile {
        Profile::Network => {
            let mut families = vec![
                condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, libc::AF_INET as u64)?,
                condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, libc::AF_INET6 as u64)?,
            ];
            let other_family = SeccompRule::new(std::mem::take(&mut families)).map_err(io::Error::other)?;
            let raw = rule(1, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(0xf), libc::SOCK_RAW as u64)?;
            rules.insert(libc::SYS_socket, vec![other_family, raw]);
            rules.insert(libc::SYS_execveat, Vec::new());
            // hickory binds its UDP sockets to a random port of any address.
            rules.remove(&libc::SYS_bind);
        }
        Profile::Sealed | Profile::Emulator => {
            rules.insert(libc::SYS_socket, Vec::new());
            rules.insert(libc::SYS_connect, Vec::new());
            let program = PROGRAM_DESCRIPTOR as u64;
            let execute = match profile {
                Profile::Emulator => vec![rule(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, program)?],
                _ => Vec::new(),
            };
            rules.insert(libc::SYS_execveat, execute);
        }
    }
    Ok(rules)
}

fn condition(
    argument: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, length, operator, value).map_err(io::Error::other)
}

fn rule(
    argument: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> io::Result<SeccompRule> {
    SeccompRule::new(vec![condition(argument, length, operator, value)?]).map_err(io::Error::other)
}

fn compile(rules: BTreeMap<libc::c_long, Vec<SeccompRule>>, errno: i32) -> io::Result<BpfProgram> {
    let errno = u32::try_from(errno).map_err(io::Error::other)?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), TargetArch::x86_64)
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)
}

/// Puts before the filter: load the call's number; when it has the x32 bit, answer `EPERM`.
fn refuse_x32(program: BpfProgram) -> BpfProgram {
    let load_number =
        sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: 0 };
    let is_x32 =
        sock_filter { code: (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16, jt: 0, jf: 1, k: X32_BIT };
    let refuse = sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
    };
    [load_number, is_x32, refuse].into_iter().chain(program).collect()
}
