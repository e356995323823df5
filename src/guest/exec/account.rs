//! Who a command runs as: the account files, read anew each time, because the agent may add users.

use std::{fs::File, io::Read};

use crate::sys::launch::Identity;

/// An account as a command needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name; the number, for a user that has none.
    pub name: String,
    /// Ids and groups.
    pub identity: Identity,
    /// Home folder.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// Bytes of an account file that are read.
const FILE_MAX: u64 = 1024 * 1024;

/// Finds `user`: a name or a number.
///
/// # Errors
/// A sentence for a person.
pub fn find(user: &str) -> Result<Account, String> {
    find_in(user, &text_of("/etc/passwd"), &text_of("/etc/group"))
}

fn text_of(path: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(FILE_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn find_in(user: &str, passwd: &str, group: &str) -> Result<Account, String> {
    let number: Option<u32> = user.parse().ok();
    // name:password:uid:gid:comment:home:shell
    let entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = entries.filter(|fields| fields.len() >= 7).find(|fields| {
        fields[0] == user || (number.is_some() && fields[2].parse() == Ok(number.unwrap_or_default()))
    });
    if let Some(fields) = found {
        let id =
            |at: usize| fields[at].parse().map_err(|_| format!("bad line for user {user} in /etc/passwd"));
        let (uid, gid) = (id(2)?, id(3)?);
        return Ok(Account {
            name: fields[0].to_owned(),
            identity: Identity { uid, gid, groups: groups_of(fields[0], gid, group) },
            home: fields[5].to_owned(),
            shell: if fields[6].is_empty() { "/bin/sh" } else { fields[6] }.to_owned(),
        });
    }
    match (user, number) {
        // A template without account files still has a root.
        ("root", _) | (_, Some(0)) => Ok(bare("root", 0, "/root")),
        (_, Some(uid)) => Ok(bare(user, uid, "/")),
        _ => Err(format!("no user {user} in the sandbox")),
    }
}

fn bare(name: &str, id: u32, home: &str) -> Account {
    Account {
        name: name.to_owned(),
        identity: Identity { uid: id, gid: id, groups: vec![id] },
        home: home.to_owned(),
        shell: "/bin/sh".to_owned(),
    }
}

fn groups_of(name: &str, gid: u32, group: &str) -> Vec<u32> {
    let mut groups = vec![gid];
    // name:password:gid:members
    for line in group.lines() {
        let fields: Vec<_> = line.split(':').collect();
        let member = fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name));
        if let (true, Some(Ok(id))) = (member, fields.get(2).map(|id| id.parse()))
            && !groups.contains(&id)
            // The kernel's own limit, NGROUPS_MAX, is 65,536.
            && groups.len() < 1024
        {
            groups.push(id);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nagent:x:1000:1000::/home/agent:/bin/bash\nodd\nbad:x:q:1::/:\nplain:x:7:8::/srv:\n";
    const GROUP: &str = "root:x:0:\ndocker:x:99:other,agent\nsudo:x:27:agent\nagent:x:1000:agent\nbroken\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let find = |user| find_in(user, PASSWD, GROUP);
        let agent = find("agent").unwrap();
        assert_eq!(agent.identity, Identity { uid: 1000, gid: 1000, groups: vec![1000, 99, 27] });
        assert_eq!(find("1000").unwrap(), agent);
        assert_eq!(find("plain").unwrap().shell, "/bin/sh");
        assert_eq!(find("4242").unwrap().identity, Identity { uid: 4242, gid: 4242, groups: vec![4242] });
        assert!(find("nobody-here").unwrap_err().contains("nobody-here"));
        assert!(find("bad").is_err());
        assert_eq!(find_in("root", "", "").unwrap().home, "/root");
    }
}
