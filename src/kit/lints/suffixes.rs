//! Names below which anybody can have a host: public suffixes, and shared hosting.
//!
//! The public suffix list (<https://publicsuffix.org>) comes with a crate, and both of its parts count: registries of
//! names, and hosting that its owner has entered there. A list that comes with a program is old; what it lacks is caught
//! by the reviewer, who sees every wildcard as a grant of its own.

use psl::Type;

/// Hosting that the list lacks, or whose owner entered only names below it.
const HOSTING: [&str; 17] = [
    "amazonaws.com",
    "awsapprunner.com",
    "b-cdn.net",
    "cloudapp.azure.com",
    "codesandbox.io",
    "digitaloceanspaces.com",
    "fastly.net",
    "firebaseio.com",
    "github.dev",
    "gitpod.io",
    "glitch.me",
    "googleusercontent.com",
    "loca.lt",
    "railway.app",
    "render.com",
    "replit.dev",
    "run.app",
];

/// Who can have a host below a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kit) enum Owner {
    /// Whoever registers it.
    Registry,
    /// Whoever has an account there.
    Hosting,
}

impl Owner {
    /// In words, after "names that".
    pub(in crate::kit) fn words(self) -> &'static str {
        match self {
            Self::Registry => "anybody can register",
            Self::Hosting => "anybody with an account there can have",
        }
    }
}

/// Who can have a host directly below `name`, where that is anybody. Such a name is no host of one owner, so no place
/// for a secret either.
pub(in crate::kit) fn shared(name: &str) -> Option<Owner> {
    let suffix = psl::suffix(name.as_bytes()).filter(|suffix| suffix.as_bytes() == name.as_bytes());
    match suffix.and_then(|suffix| suffix.typ()) {
        Some(Type::Icann) => Some(Owner::Registry),
        Some(Type::Private) => Some(Owner::Hosting),
        None => HOSTING.binary_search(&name).ok().map(|_| Owner::Hosting),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_our_own_is_in_order_and_needed() {
        assert!(HOSTING.is_sorted());
        for name in HOSTING {
            let suffix = psl::suffix(name.as_bytes()).unwrap();
            assert!(suffix.as_bytes() != name.as_bytes(), "{name} is in the public list now");
        }
    }

    #[test]
    fn e19_c18_names_of_one_owner_are_told_from_shared_ones() {
        for (name, expected) in [
            ("com", Some(Owner::Registry)),
            ("co.uk", Some(Owner::Registry)),
            ("anything.ck", Some(Owner::Registry)),
            ("github.io", Some(Owner::Hosting)),
            ("vercel.app", Some(Owner::Hosting)),
            ("s3.eu-west-1.amazonaws.com", Some(Owner::Hosting)),
            ("s3.amazonaws.com", Some(Owner::Hosting)),
            ("amazonaws.com", Some(Owner::Hosting)),
            ("www.ck", None),
            ("example", None),
            ("acme.github.io", None),
            ("acme.example", None),
            ("notgithub.io", None),
            ("acme.co.uk", None),
        ] {
            assert_eq!(shared(name), expected, "{name}");
        }
    }
}
