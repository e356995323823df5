//! What a lock file says of a repository: which registry its dependencies come from, and what installs them on the
//! built-in base. What would not work there is proposed with the reason, so that it stands in the file as a comment.

use super::fitness::{self, Fit};

/// A repository's files, by their names at its root. Nothing of them is run.
pub trait Files {
    /// Whether a regular file of this name is there.
    fn has(&self, name: &str) -> bool;

    /// Both ends of one; none where it cannot be read.
    fn ends(&self, name: &str) -> Option<Ends>;
}

/// Beginning and end of a file. A short one stands in both whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ends {
    /// Its first part.
    pub head: String,
    /// Its last part.
    pub tail: String,
}

/// A lock file, and what follows from its being there.
pub(super) struct Ecosystem {
    /// The file at the repository's root.
    pub(super) lock: &'static str,
    /// Of one family only the first that is there counts.
    family: &'static str,
    /// The file that its client needs beside it.
    beside: &'static str,
    /// The set of its registry, after `registry:`.
    registry: &'static str,
    /// Distribution packages that bring its client.
    packages: &'static [&'static str],
    /// What installs the dependencies.
    create: &'static str,
    /// What stands in it where a dependency comes from a git repository, which no registry serves.
    elsewhere: &'static [&'static str],
    /// What the base's client makes of it.
    fit: fn(&dyn Files, &Ends) -> Fit,
}

/// What is proposed because of a lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The lock file.
    pub lock: &'static str,
    /// The set of its registry, after `registry:`.
    pub registry: &'static str,
    /// Distribution packages that bring its client, or what makes that.
    pub packages: &'static [&'static str],
    /// The step of the template that makes a client which the distribution does not have.
    pub run: Option<String>,
    /// What installs the dependencies.
    pub create: &'static str,
    /// Why it would not work on the built-in base.
    pub unfit: Option<String>,
}

/// In order of preference within a family.
const ECOSYSTEMS: [Ecosystem; 15] = [
    Ecosystem { lock: "package-lock.json", ..NPM },
    Ecosystem { lock: "npm-shrinkwrap.json", ..NPM },
    Ecosystem {
        lock: "pnpm-lock.yaml",
        create: "pnpm install --frozen-lockfile",
        elsewhere: &["git+", "codeload."],
        fit: fitness::pnpm,
        ..NPM
    },
    Ecosystem {
        lock: "yarn.lock",
        packages: &["yarnpkg"],
        create: "yarnpkg install --frozen-lockfile",
        elsewhere: &["git+", "codeload."],
        fit: fitness::yarn,
        ..NPM
    },
    Ecosystem {
        lock: "bun.lock",
        create: "bun install --frozen-lockfile",
        elsewhere: &[],
        fit: |_, _| Err("Debian 12 has no bun: make it with `template.run`".to_owned()),
        ..NPM
    },
    Ecosystem {
        lock: "uv.lock",
        beside: "pyproject.toml",
        packages: &["python3-venv"],
        create: "uv sync --frozen",
        elsewhere: &["{ git = "],
        fit: fitness::uv,
        ..PYTHON
    },
    Ecosystem {
        lock: "poetry.lock",
        beside: "pyproject.toml",
        packages: &["python3-poetry"],
        create: "poetry install",
        elsewhere: &["type = \"git\""],
        fit: fitness::poetry,
        ..PYTHON
    },
    Ecosystem {
        lock: "Pipfile.lock",
        beside: "Pipfile",
        packages: &["pipenv"],
        create: "pipenv sync",
        elsewhere: &["\"git\":"],
        fit: fitness::pipenv,
        ..PYTHON
    },
    PYTHON,
    Ecosystem {
        lock: "Cargo.lock",
        family: "rust",
        beside: "Cargo.toml",
        registry: "cargo",
        // Debian 12's `cargo` is older than indexes over HTTP; this one is kept current for its browsers.
        packages: &["cargo-web"],
        create: "cargo fetch --locked",
        elsewhere: &["\"git+"],
        fit: fitness::cargo,
    },
    Ecosystem {
        lock: "go.sum",
        family: "go",
        beside: "go.mod",
        registry: "go",
        packages: &["golang-go"],
        create: "go mod download",
        elsewhere: &[],
        fit: fitness::go,
    },
    Ecosystem {
        lock: "Gemfile.lock",
        family: "ruby",
        beside: "Gemfile",
        registry: "gem",
        // Many gems are built where they are installed.
        packages: &["ruby-bundler", "ruby-dev", "build-essential"],
        create: "bundle config set --local path vendor/bundle && bundle install",
        elsewhere: &["  revision: "],
        fit: fitness::bundler,
    },
    Ecosystem {
        lock: "composer.lock",
        family: "php",
        beside: "composer.json",
        registry: "composer",
        packages: &["composer", "unzip"],
        create: "composer install",
        elsewhere: &[],
        fit: fitness::composer,
    },
    JAVA,
    Ecosystem {
        lock: "gradlew",
        create: "./gradlew dependencies",
        fit: |_, _| {
            Err("the wrapper fetches Gradle from a host of its own, and Debian 12 has Gradle 4.4".to_owned())
        },
        ..JAVA
    },
];

const NPM: Ecosystem = Ecosystem {
    lock: "",
    family: "node",
    beside: "package.json",
    registry: "npm",
    packages: &["npm"],
    create: "npm ci",
    elsewhere: &["\"git+"],
    fit: fitness::npm,
};

const PYTHON: Ecosystem = Ecosystem {
    lock: "requirements.txt",
    family: "python",
    beside: "",
    registry: "pypi",
    packages: &["python3-venv"],
    create: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    elsewhere: &["git+", "index-url", "find-links", "@ http"],
    fit: |_, _| Ok(None),
};

const JAVA: Ecosystem = Ecosystem {
    lock: "pom.xml",
    family: "java",
    beside: "",
    registry: "maven",
    packages: &["maven"],
    create: "mvn --batch-mode dependency:go-offline",
    elsewhere: &[],
    fit: |_, _| Err("Java has certificates of its own, and the sandbox's is not among them".to_owned()),
};

impl Proposal {
    /// What is proposed because of the lock files that are there: at most one proposal for each family.
    #[must_use]
    pub fn all(files: &dyn Files) -> Vec<Self> {
        let mut families: Vec<&str> = Vec::new();
        let mut all = Vec::new();
        for ecosystem in ECOSYSTEMS.iter().filter(|ecosystem| files.has(ecosystem.lock)) {
            if !families.contains(&ecosystem.family) {
                families.push(ecosystem.family);
                all.push(ecosystem.propose(files));
            }
        }
        all
    }
}

impl Ecosystem {
    fn propose(&self, files: &dyn Files) -> Proposal {
        let (run, unfit) = match self.judge(files) {
            Ok(run) => (run, None),
            Err(reason) => (None, Some(reason)),
        };
        let Self { lock, registry, packages, create, .. } = *self;
        Proposal { lock, registry, packages, run, create, unfit }
    }

    fn judge(&self, files: &dyn Files) -> Fit {
        let ends = files.ends(self.lock).ok_or_else(|| format!("{} cannot be read", self.lock))?;
        if !self.beside.is_empty() && !files.has(self.beside) {
            return Err(format!("there is no {} beside it", self.beside));
        }
        let run = (self.fit)(files, &ends)?;
        let is_elsewhere = |line: &str| self.elsewhere.iter().any(|sign| line.contains(sign));
        let what = "a dependency comes from another place than the registry; allow its host first";
        match ends.head.lines().position(is_elsewhere) {
            Some(line) => Err(format!("line {}: {what}", line + 1)),
            None if ends.tail.lines().any(is_elsewhere) => Err(what.to_owned()),
            None => Ok(run),
        }
    }
}
