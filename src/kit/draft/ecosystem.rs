//! What a lock file says of a repository: which registry its dependencies come from, and what installs them.

/// A lock file, and what follows from its being there. Its content is never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ecosystem {
    /// The file at the repository's root.
    pub lock: &'static str,
    /// Of one family only the first that is there counts.
    pub family: &'static str,
    /// The set of its registry, after `registry:`.
    pub registry: &'static str,
    /// Distribution packages that bring its client; none where the distribution does not have it.
    pub packages: &'static [&'static str],
    /// What installs the dependencies.
    pub create: &'static str,
}

const fn ecosystem(
    lock: &'static str,
    family: &'static str,
    registry: &'static str,
    packages: &'static [&'static str],
    create: &'static str,
) -> Ecosystem {
    Ecosystem { lock, family, registry, packages, create }
}

/// In order of preference within a family.
pub const ECOSYSTEMS: [Ecosystem; 13] = [
    ecosystem("package-lock.json", "node", "npm", &["npm"], "npm ci"),
    ecosystem("npm-shrinkwrap.json", "node", "npm", &["npm"], "npm ci"),
    ecosystem("pnpm-lock.yaml", "node", "npm", &[], "pnpm install --frozen-lockfile"),
    ecosystem("yarn.lock", "node", "npm", &["yarnpkg"], "yarnpkg install --frozen-lockfile"),
    ecosystem("bun.lock", "node", "npm", &[], "bun install --frozen-lockfile"),
    ecosystem("uv.lock", "python", "pypi", &[], "uv sync --frozen"),
    ecosystem("poetry.lock", "python", "pypi", &["python3-poetry"], "poetry install"),
    ecosystem("Pipfile.lock", "python", "pypi", &["pipenv"], "pipenv sync"),
    ecosystem(
        "requirements.txt",
        "python",
        "pypi",
        &["python3-venv"],
        "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    ),
    ecosystem("Cargo.lock", "rust", "cargo", &["cargo"], "cargo fetch --locked"),
    ecosystem("go.sum", "go", "go", &["golang-go"], "go mod download"),
    ecosystem("Gemfile.lock", "ruby", "gem", &["ruby-bundler"], "bundle install"),
    ecosystem("composer.lock", "php", "composer", &["composer"], "composer install"),
];

impl Ecosystem {
    /// Those that count of the lock files that `is_there`: one of each family.
    pub fn found(is_there: impl Fn(&str) -> bool) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for ecosystem in ECOSYSTEMS.into_iter().filter(|ecosystem| is_there(ecosystem.lock)) {
            if found.iter().all(|other| other.family != ecosystem.family) {
                found.push(ecosystem);
            }
        }
        found
    }
}
