//! seccomp: system calls that a process has no use for. It is a list of what is denied, not of what is allowed: what a
//! server, its runtime, its libraries and another release of the C library call is open, and what starts programs, changes
//! the machine or looks into other processes is not.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use super::standing::Standing;

/// Which calls are refused, and with what arguments; without a rule with any.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Whom the walls are around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Server,
    /// One that has its pipes, and files in one folder, which it may change where that is said.
    Folder {
        writes: bool,
    },
    /// One that has its pipes and nothing else.
    Pipes,
}

/// A system call is refused as if the user had no right to it.
const REFUSED: u32 = libc::EPERM as u32;
/// As if the kernel did not have it: the C library starts threads by `clone`, whose flags can be looked at.
const UNKNOWN: u32 = libc::ENOSYS as u32;

/// New programs, other processes, the machine.
const DENIED: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_tkill,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_personality,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
];

/// What else only one kind of processor has.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[i64] = &[];

/// Calls that the C library has no names for yet; all processors number them alike.
const SYS_SETXATTRAT: i64 = 463;
const SYS_REMOVEXATTRAT: i64 = 466;
const SYS_FILE_SETATTR: i64 = 469;

/// What holds a folder speaks to its server alone, and makes no special files, owners, modes or attributes in it: Landlock does
/// not judge those.
const DENIED_TO_FOLDER: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendto,
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    // By a path, which Landlock judges from Linux 6.2 on.
    libc::SYS_truncate,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    SYS_SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    SYS_REMOVEXATTRAT,
    SYS_FILE_SETATTR,
    libc::SYS_inotify_init1,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
];

#[cfg(target_arch = "x86_64")]
const DENIED_TO_FOLDER_HERE: &[i64] = &[
    libc::SYS_mknod,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_inotify_init,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_TO_FOLDER_HERE: &[i64] = &[];

/// What sets a file's attributes without a call of its own. What runs guests takes some as it likes.
const DENIED_TO_FOLDER_ALONE: &[i64] = &[libc::SYS_ioctl];

/// What only reads changes no names and no times. Of the times Landlock knows nothing.
const DENIED_TO_READER: &[i64] = &[
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_utimensat,
];

#[cfg(target_arch = "x86_64")]
const DENIED_TO_READER_HERE: &[i64] = &[
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_link,
    libc::SYS_rename,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_TO_READER_HERE: &[i64] = &[];

/// What works with its pipes alone opens nothing either.
const DENIED_TO_PIPES: &[i64] = &[libc::SYS_openat, libc::SYS_openat2];

#[cfg(target_arch = "x86_64")]
const DENIED_TO_PIPES_HERE: &[i64] = &[libc::SYS_open, libc::SYS_creat];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_TO_PIPES_HERE: &[i64] = &[];

/// What a server speaks: its socket in the folder, IPv4, IPv6, and what the kernel knows of its callers.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Of the second numbering that some kernels have on x86-64.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;
/// Those that only that one has: among them other ways to `execve` and `ptrace`.
#[cfg(target_arch = "x86_64")]
const X32_ALONE: std::ops::RangeInclusive<i64> = 512..=547;

pub fn raise(kind: Kind) -> Standing {
    let words = match kind {
        Kind::Server => "no new programs, no other processes, nothing of the machine's (seccomp)",
        Kind::Folder { .. } => "nothing but its pipes and files (seccomp)",
        Kind::Pipes => "nothing but its pipes (seccomp)",
    };
    match apply(kind) {
        Ok(()) => Standing { stand: vec![words.to_owned()], missing: Vec::new() },
        Err(error) => Standing::none(format!("system calls: seccomp cannot be used: {error}")),
    }
}

fn apply(kind: Kind) -> Result<(), seccompiler::Error> {
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    for (rules, errno) in [(clone3, UNKNOWN), (rules(kind)?, REFUSED)] {
        let rules = in_all_numberings(rules);
        let arch = std::env::consts::ARCH.try_into()?;
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), arch)?;
        let program: BpfProgram = filter.try_into()?;
        apply_filter(&program)?;
    }
    Ok(())
}

/// As of a kernel that was built without Landlock, for tests.
#[cfg(test)]
pub fn take_landlock_away() {
    let rules = BTreeMap::from([(libc::SYS_landlock_create_ruleset, Vec::new())]);
    let arch = std::env::consts::ARCH.try_into().expect("a processor that is known");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(UNKNOWN), arch);
    let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    apply_filter(&program).expect("it stands");
}

fn rules(kind: Kind) -> Result<Rules, seccompiler::Error> {
    let mut denied: Vec<i64> = [DENIED, DENIED_HERE].concat();
    if kind != Kind::Server {
        denied.extend([DENIED_TO_FOLDER, DENIED_TO_FOLDER_HERE].concat());
    }
    if matches!(kind, Kind::Folder { .. }) {
        denied.extend(DENIED_TO_FOLDER_ALONE);
    }
    if matches!(kind, Kind::Folder { writes: false } | Kind::Pipes) {
        denied.extend([DENIED_TO_READER, DENIED_TO_READER_HERE].concat());
    }
    if kind == Kind::Pipes {
        denied.extend([DENIED_TO_PIPES, DENIED_TO_PIPES_HERE].concat());
    }
    let mut rules: Rules = denied.iter().map(|call| (*call, Vec::new())).collect();
    // Of new processes threads alone.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    rules.insert(libc::SYS_clone, vec![unless(0, SeccompCmpOp::MaskedEq(thread), &[0])?]);
    let own = u64::from(std::process::id());
    // A signal to itself, as when it aborts.
    rules.insert(libc::SYS_tgkill, vec![unless(0, SeccompCmpOp::Ne, &[own])?]);
    if kind == Kind::Server {
        rules.insert(libc::SYS_kill, vec![unless(0, SeccompCmpOp::Ne, &[own])?]);
        let families = FAMILIES.map(|family| u64::from(family.unsigned_abs()));
        rules.insert(libc::SYS_socket, vec![unless(0, SeccompCmpOp::Ne, &families)?]);
    }
    Ok(rules)
}

#[cfg(target_arch = "x86_64")]
fn in_all_numberings(rules: Rules) -> Rules {
    let second: Rules = rules.iter().map(|(call, rule)| (call | X32, rule.clone())).collect();
    let alone = X32_ALONE.map(|call| (call | X32, Vec::new()));
    rules.into_iter().chain(second).chain(alone).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn in_all_numberings(rules: Rules) -> Rules {
    rules
}

/// Denies where an argument stands so to each of the values.
fn unless(argument: u8, stands: SeccompCmpOp, values: &[u64]) -> Result<SeccompRule, seccompiler::Error> {
    let condition =
        |value: &u64| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, stands.clone(), *value);
    let conditions = values.iter().map(condition).collect::<Result<Vec<_>, _>>();
    SeccompRule::new(conditions.map_err(seccompiler::Error::Backend)?).map_err(seccompiler::Error::Backend)
}
