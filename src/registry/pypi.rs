//! Python packages: `index-url` and `extra-index-url` of pip and of uv.

use std::path::PathBuf;

use super::{Here, Said, ask::ask, lines::lines, shown, text};

/// Prints the index and the host of the files, as pip itself has them. `-I` keeps the working folder and the user's
/// own modules out.
const ASK_PIP: &str = "from pip._internal.models.index import PyPI as index\n\
                       print(index.simple_url)\nprint('https://' + index.file_storage_domain + '/')";

pub(super) fn look(here: &Here<'_>) -> Said {
    let mut main: Option<(String, String)> = None;
    let mut extra: Vec<(String, String)> = Vec::new();
    for name in ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"] {
        main = main.or_else(|| Some(((here.env)(name)?, format!("${name}"))));
    }
    for path in files(here) {
        let source = shown(&path, here);
        for line in text(&path).map(|text| lines(&text)).unwrap_or_default() {
            let values =
                line.value.split([' ', ',', '"', '\'', '[', ']']).filter(|value| value.contains("://"));
            let mut values = values.map(|value| (value.to_owned(), source.clone()));
            match (line.section.as_str(), line.key.as_str()) {
                ("global" | "install" | "" | "pip", "index-url") => {
                    main = main.or_else(|| values.next_back())
                }
                ("global" | "install" | "" | "pip", "extra-index-url") | ("index", "url") => {
                    extra.extend(values)
                }
                _ => {}
            }
        }
    }
    let by_default = match &main {
        Some(_) => Vec::new(),
        None => default(here),
    };
    let configured = main.into_iter().chain(extra);
    Said {
        configured: configured.map(|(url, source)| (above_simple(&url), source)).collect(),
        by_default,
        client: "pip",
        set_with: "`pip config set global.index-url URL`",
    }
}

fn files(here: &Here<'_>) -> Vec<PathBuf> {
    let user =
        [".config/pip/pip.conf", ".pip/pip.conf", ".config/uv/uv.toml"].map(|path| here.home.join(path));
    let system = ["/etc/pip.conf", "/etc/xdg/pip/pip.conf", "/etc/uv/uv.toml"].map(|path| here.system(path));
    let named = (here.env)("PIP_CONFIG_FILE").map(PathBuf::from);
    named.into_iter().chain(user).chain(system).collect()
}

/// A mirror has its files beside its index: below the parent of `simple/`.
fn above_simple(url: &str) -> String {
    let trimmed = url.trim_end_matches('/');
    trimmed.strip_suffix("/simple").or_else(|| trimmed.strip_suffix("/+simple")).unwrap_or(url).to_owned()
}

fn default(here: &Here<'_>) -> Vec<String> {
    let answer =
        ["python3", "python"].into_iter().find_map(|python| ask(here, python, &["-I", "-c", ASK_PIP], &[]));
    answer.iter().flat_map(|answer| answer.lines()).map(str::to_owned).collect()
}
