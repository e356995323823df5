//! npm: `registry` and `@scope:registry` of the user's and the system's npmrc.

use super::{Here, Said, ask::ask, lines::lines, shown, text};

pub(super) fn look(here: &Here<'_>) -> Said {
    let user = (here.env)("NPM_CONFIG_USERCONFIG")
        .or_else(|| (here.env)("npm_config_userconfig"))
        .map_or_else(|| here.home.join(".npmrc"), Into::into);
    let system = ["/usr/local/etc/npmrc", "/usr/etc/npmrc", "/etc/npmrc"].map(|path| here.system(path));
    let mut main = ["npm_config_registry", "NPM_CONFIG_REGISTRY"]
        .into_iter()
        .find_map(|name| Some(((here.env)(name)?, format!("${name}"))));
    let mut scoped: Vec<(String, String)> = Vec::new();
    for path in [user].into_iter().chain(system) {
        for line in text(&path).map(|text| lines(&text)).unwrap_or_default() {
            let value = (line.value, shown(&path, here));
            match line.key.as_str() {
                "registry" => main = main.or(Some(value)),
                key if key.starts_with('@') && key.ends_with(":registry") => scoped.push(value),
                _ => {}
            }
        }
    }
    let by_default = match &main {
        Some(_) => Vec::new(),
        None => default(here),
    };
    Said {
        configured: main.into_iter().chain(scoped).collect(),
        by_default,
        client: "npm",
        set_with: "`npm config set registry URL`",
    }
}

fn default(here: &Here<'_>) -> Vec<String> {
    // Two names of files that are not there: npm refuses one file in both places.
    let nobody = ["--userconfig=/nonexistent/user", "--globalconfig=/nonexistent/global"];
    let arguments = [&["config", "get", "registry", "--global", "--logs-max=0"][..], &nobody].concat();
    ask(here, "npm", &arguments, &[]).map(|answer| answer.trim().to_owned()).into_iter().collect()
}
