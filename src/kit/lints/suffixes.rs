//! Names below which anybody can have a host: public suffixes of more than one label, and shared hosting.
//!
//! A short list of what is met in practice, not the whole public suffix list: that one changes weekly, and a list that
//! comes with a program is old. What it lacks is caught by the reviewer, who sees every wildcard as its own grant.

/// Registries of names: whoever registers one has a host below it. Single labels are refused without a list.
const REGISTRIES: [&str; 48] = [
    "ac.jp", "ac.uk", "asn.au", "co.at", "co.id", "co.il", "co.in", "co.jp", "co.ke", "co.kr", "co.nz",
    "co.th", "co.uk", "co.za", "com.ar", "com.au", "com.br", "com.cn", "com.co", "com.eg", "com.hk",
    "com.mx", "com.my", "com.ng", "com.pe", "com.ph", "com.pk", "com.pl", "com.sg", "com.tr", "com.tw",
    "com.ua", "com.vn", "edu.au", "gov.uk", "ltd.uk", "me.uk", "ne.jp", "net.au", "net.br", "net.cn",
    "net.nz", "net.uk", "or.jp", "org.au", "org.br", "org.nz", "org.uk",
];

/// Hosting under a common name: whoever has an account has a host below it.
const HOSTING: [&str; 56] = [
    "amazonaws.com",
    "amplifyapp.com",
    "appspot.com",
    "awsapprunner.com",
    "azure-api.net",
    "azureedge.net",
    "azurefd.net",
    "azurestaticapps.net",
    "azurewebsites.net",
    "b-cdn.net",
    "bitbucket.io",
    "blob.core.windows.net",
    "blogspot.com",
    "cloudapp.azure.com",
    "cloudapp.net",
    "cloudfront.net",
    "cloudfunctions.net",
    "codesandbox.io",
    "deno.dev",
    "digitaloceanspaces.com",
    "duckdns.org",
    "dyndns.org",
    "elasticbeanstalk.com",
    "fastly.net",
    "firebaseapp.com",
    "firebaseio.com",
    "fly.dev",
    "github.dev",
    "github.io",
    "githubpreview.dev",
    "gitlab.io",
    "gitpod.io",
    "glitch.me",
    "googleusercontent.com",
    "herokuapp.com",
    "hf.space",
    "loca.lt",
    "lovable.app",
    "myshopify.com",
    "netlify.app",
    "ngrok-free.app",
    "ngrok.app",
    "ngrok.io",
    "onrender.com",
    "pages.dev",
    "r2.dev",
    "railway.app",
    "render.com",
    "repl.co",
    "replit.app",
    "replit.dev",
    "run.app",
    "trycloudflare.com",
    "vercel.app",
    "web.app",
    "workers.dev",
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

/// Whether a name is one of the lists: no host of one owner, so no place for a secret.
pub(in crate::kit) fn listed(name: &str) -> Option<Owner> {
    let registry = REGISTRIES.binary_search(&name).ok().map(|_| Owner::Registry);
    registry.or(HOSTING.binary_search(&name).ok().map(|_| Owner::Hosting))
}

/// Who can have a host directly below `name`, where that is anybody.
pub(in crate::kit) fn shared(name: &str) -> Option<Owner> {
    if REGISTRIES.binary_search(&name).is_ok() {
        Some(Owner::Registry)
    } else if HOSTING.iter().any(|shared| is_at_or_below(name, shared) && labels_between(name, shared) <= 2) {
        // Regions and services stand between: `s3.eu-west-1.amazonaws.com`.
        let exact = HOSTING.binary_search(&name).is_ok();
        (exact || is_cloud_region(name)).then_some(Owner::Hosting)
    } else {
        None
    }
}

fn is_at_or_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn labels_between(name: &str, parent: &str) -> usize {
    name.len().checked_sub(parent.len() + 1).map_or(0, |end| name[..end].split('.').count())
}

/// `s3.REGION.amazonaws.com`, `s3-website-REGION.amazonaws.com`, `execute-api.REGION.amazonaws.com`.
fn is_cloud_region(name: &str) -> bool {
    let service = name.split('.').next().unwrap_or_default();
    let shared = ["s3", "execute-api", "elb", "lambda-url"];
    name.ends_with(".amazonaws.com")
        && shared.iter().any(|shared| service == *shared || service.starts_with(&format!("{shared}-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_order() {
        assert!(REGISTRIES.is_sorted() && HOSTING.is_sorted());
    }

    #[test]
    fn names_of_one_owner_are_told_from_shared_ones() {
        for (name, expected) in [
            ("co.uk", Some(Owner::Registry)),
            ("github.io", Some(Owner::Hosting)),
            ("s3.eu-west-1.amazonaws.com", Some(Owner::Hosting)),
            ("s3.amazonaws.com", Some(Owner::Hosting)),
            ("acme.github.io", None),
            ("acme.example", None),
            ("notgithub.io", None),
            ("acme.co.uk", None),
        ] {
            assert_eq!(shared(name), expected, "{name}");
        }
    }
}
