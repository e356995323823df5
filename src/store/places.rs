//! Where configuration, state, cache and sockets are (`KIT.md`, section 5). A pure function of the environment.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::sockets::ROOM;

/// Looks a variable up.
pub type Env<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// The places of one user on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The operator's configuration file. The user's own mixin `sandbox.yaml` lies beside it.
    pub config: PathBuf,
    /// Whether the user named that file: one that is named and missing is worth a word.
    pub config_named: bool,
    /// State directory.
    pub state: PathBuf,
    /// Cache directory; may be deleted at any time.
    pub cache: PathBuf,
    /// Parent of the socket directories; short.
    pub runtime: PathBuf,
}

/// Why the environment names no usable place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is `{}`; write an absolute path", value.display())]
pub struct PlacesError {
    /// The variable.
    pub variable: &'static str,
    /// Its value.
    pub value: PathBuf,
}

impl Places {
    /// Reads `COFFERDAM_CONFIG`, `COFFERDAM_STATE`, `COFFERDAM_CACHE` and the XDG variables. Empty values count as
    /// unset, and relative ones of XDG are ignored, as the base directory specification 0.8 has it.
    ///
    /// # Errors
    /// When one of our own variables is relative.
    pub fn from_env(env: &Env<'_>, uid: u32, home: &Path) -> Result<Self, PlacesError> {
        let xdg = |variable: &str, default: &str| {
            let set = path(env, variable).filter(|path| path.is_absolute());
            set.unwrap_or_else(|| home.join(default)).join("cofferdam")
        };
        let config = own(env, "COFFERDAM_CONFIG")?;
        let state = own(env, "COFFERDAM_STATE")?;
        let cache = own(env, "COFFERDAM_CACHE")?;
        let runtime = path(env, "XDG_RUNTIME_DIR")
            .filter(|path| path.is_absolute())
            .map(|path| path.join("cofferdam"))
            .filter(|path| path.as_os_str().as_bytes().len() + ROOM <= super::sockets::PATH_MAX);
        Ok(Self {
            config_named: config.is_some(),
            config: config.unwrap_or_else(|| xdg("XDG_CONFIG_HOME", ".config").join("config.yaml")),
            state: state.unwrap_or_else(|| xdg("XDG_STATE_HOME", ".local/state")),
            cache: cache.unwrap_or_else(|| xdg("XDG_CACHE_HOME", ".cache")),
            runtime: runtime.unwrap_or_else(|| PathBuf::from(format!("/tmp/cofferdam-{uid}"))),
        })
    }
}

fn path(env: &Env<'_>, variable: &str) -> Option<PathBuf> {
    env(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn own(env: &Env<'_>, variable: &'static str) -> Result<Option<PathBuf>, PlacesError> {
    match path(env, variable) {
        Some(value) if !value.is_absolute() => Err(PlacesError { variable, value }),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(set: &[(&str, &str)]) -> Result<Places, PlacesError> {
        let env = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        Places::from_env(&env, 1000, Path::new("/home/ann"))
    }

    #[test]
    fn the_defaults_follow_xdg() {
        let expected = Places {
            config: "/home/ann/.config/cofferdam/config.yaml".into(),
            config_named: false,
            state: "/home/ann/.local/state/cofferdam".into(),
            cache: "/home/ann/.cache/cofferdam".into(),
            runtime: "/tmp/cofferdam-1000".into(),
        };
        assert_eq!(places(&[]), Ok(expected.clone()));
        let ignored = [("XDG_CONFIG_HOME", ""), ("XDG_STATE_HOME", "state"), ("XDG_RUNTIME_DIR", "run")];
        assert_eq!(places(&ignored), Ok(expected));
    }

    #[test]
    fn variables_are_heeded_ours_first() {
        let got = places(&[
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_CACHE_HOME", "/k"),
            ("XDG_RUNTIME_DIR", "/run/user/1000"),
            ("COFFERDAM_STATE", "/mine"),
        ]);
        let got = got.unwrap();
        assert_eq!(got.config, Path::new("/c/cofferdam/config.yaml"));
        assert_eq!(got.state, Path::new("/mine"));
        assert_eq!(got.cache, Path::new("/k/cofferdam"));
        assert_eq!(got.runtime, Path::new("/run/user/1000/cofferdam"));
        let named = places(&[("COFFERDAM_CONFIG", "/x/my.yaml")]).unwrap();
        assert_eq!((named.config.as_path(), named.config_named), (Path::new("/x/my.yaml"), true));
    }

    #[test]
    fn a_relative_value_of_ours_is_refused_and_a_long_runtime_directory_left() {
        let refused = places(&[("COFFERDAM_STATE", "state")]).unwrap_err();
        assert_eq!(refused.to_string(), "COFFERDAM_STATE is `state`; write an absolute path");
        let long = format!("/{}", "r".repeat(80));
        assert_eq!(places(&[("XDG_RUNTIME_DIR", &long)]).unwrap().runtime, Path::new("/tmp/cofferdam-1000"));
    }
}
