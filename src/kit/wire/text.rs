//! Texts with a form of their own. The form stands in the schema as a pattern, and in words for the message.

use schemars::JsonSchema;
use serde::Deserialize;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $max:literal, $form:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
        #[schemars(extend("x-form" = $form))]
        pub(in crate::kit) struct $name(
            #[schemars(regex(pattern = $pattern), length(max = $max))]
            pub(in crate::kit) String,
        );
    };
}

text!(
    /// A name: 1 to 63 lower-case letters, digits and inner hyphens.
    Label,
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    63,
    "a name has 1 to 63 lower-case letters, digits and inner hyphens"
);
text!(
    /// A size: a whole number with KiB, MiB, GiB, TiB, kB, MB, GB or TB.
    Size,
    "^[0-9]{1,12} ?(KiB|MiB|GiB|TiB|kB|MB|GB|TB)$",
    16,
    "a size is a whole number with its unit: 512MiB, 8GiB, 20GB"
);
text!(
    /// A name of an environment variable.
    EnvName,
    "^[A-Za-z_][A-Za-z0-9_]*$",
    128,
    "a variable's name has letters, digits and underscores, and begins with no digit"
);
text!(
    /// A reason, for whoever reviews this and for whoever meets the rule later.
    Reason,
    "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$",
    500,
    "a reason is one line of text, without control characters, that says what this is for"
);
text!(
    /// A label's key: letters, digits, `.`, `_`, `/` and hyphens.
    LabelKey,
    "^[A-Za-z0-9][A-Za-z0-9._/-]*$",
    128,
    "a label's key has letters, digits, `.`, `_`, `/` and hyphens"
);
text!(
    /// A label's value: one short line.
    LabelValue,
    "^[^\\x00-\\x1f\\x7f-\\x9f]*$",
    128,
    "a label's value is one short line of text without control characters"
);
text!(
    /// An HTTP method, upper-case.
    Method,
    "^[A-Z]+$",
    20,
    "a method is written in upper case: GET, POST"
);
text!(
    /// A path of requests: segments, `*` for one of them, `**` for any number.
    PathPattern,
    "^/[!-~]*$",
    1024,
    "a path begins with `/` and has no spaces; `*` is one segment, `**` any number"
);
text!(
    /// A header's name.
    HeaderName,
    "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    128,
    "a header's name has letters, digits and hyphens"
);
text!(
    /// A header's value with one `{}` for the secret.
    HeaderFormat,
    "^[ -~]*\\{\\}[ -~]*$",
    400,
    "a format is plain text with one {} for the secret: \"Bearer {}\""
);
text!(
    /// The form of a placeholder: printable text with `{alnum:N}` or `{hex:N}` for N random characters.
    PlaceholderForm,
    "^[!-~]+$",
    256,
    "a placeholder is plain text without spaces, with {alnum:N} or {hex:N} for its random part"
);
text!(
    /// A length of time: a whole number with ms, s, m, h or d.
    Duration,
    "^[0-9]+(ms|s|m|h|d)$",
    12,
    "a length of time is a whole number with ms, s, m, h or d: 30m"
);
text!(
    /// An end: the last day in UTC, or a time.
    Until,
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}))?$",
    25,
    "an end is the last day (2026-12-31, until its end in UTC) or a time (2026-12-31T18:00:00Z)"
);
text!(
    /// Permissions of a file, octal, in quotes.
    FileMode,
    "^0?[0-7]{3}$",
    4,
    "permissions are octal and quoted: \"0644\""
);
text!(
    /// A Debian package's name.
    PackageName,
    "^[a-z0-9][a-z0-9+.-]+$",
    128,
    "a package's name has lower-case letters, digits, `+`, `-` and `.`, and two of them at least; versions are pinned by sandbox.lock"
);
text!(
    /// A step's name in logs: one short line.
    StepName,
    "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$",
    60,
    "a step's name is one short line of text without control characters"
);
text!(
    /// An argument's name.
    ArgumentName,
    "^[A-Za-z][A-Za-z0-9_-]*$",
    60,
    "an argument's name begins with a letter and has letters, digits, `_` and hyphens"
);
text!(
    /// A folder's pattern: absolute or `~/…`, `*` for one name, `**` for any depth.
    Glob,
    "^(~|~/[^\\x00-\\x1f\\x7f]*|/[^\\x00-\\x1f\\x7f]*)$",
    1024,
    "a folder is absolute or begins with ~/; `*` is one name, `**` any depth"
);
text!(
    /// A name of an MCP server or tool; `*` stands for any part of it.
    McpName,
    "^[A-Za-z0-9_./@*-]+$",
    128,
    "a server's or tool's name has letters, digits, `_`, `.`, `/`, `@` and hyphens; `*` is any part"
);
text!(
    /// What a sandbox may use: its sort and its name.
    ResourceName,
    "^(agent|kit|image|mode|secret|hostService):[A-Za-z0-9_./*-]+$",
    128,
    "write its sort and its name: agent:claude, kit:review, image:debian-12, mode:direct, secret:github, hostService:model"
);
text!(
    /// What a denied developer reads: one line of printable ASCII.
    SupportMessage,
    "^[!-~]([ -~]*[!-~])?$",
    200,
    "a message is one line of printable ASCII: denials are shown by every client"
);
text!(
    /// Bytes per time: a size, a slash, and s, m, h or d.
    Rate,
    "^[1-9][0-9]{0,11} ?(KiB|MiB|GiB|TiB|kB|MB|GB|TB)/(s|m|h|d)$",
    18,
    "a rate is a size per s, m, h or d: 10MiB/d"
);
text!(
    /// A repository of a service: its owner and its name.
    RepositoryName,
    "^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$",
    200,
    "a repository is its owner and its name: acme/web"
);
text!(
    /// A name of an MCP server.
    ServerName,
    "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
    63,
    "a server's name has 1 to 63 letters, digits, `_`, `.` and hyphens"
);
text!(
    /// A program or one of its arguments.
    CommandWord,
    "^[^\\x00]+$",
    4096,
    "a program or an argument is a text that is not empty"
);
text!(
    /// Where an MCP server listens.
    ServerUrl,
    "^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!-~]*)?$",
    2048,
    "a server's address is a URL: https://mcp.example.com/v1"
);
text!(
    /// What a test asks the policy about: a host, host:port or URL.
    Asked,
    "^(https?://(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*)(:[0-9]{1,5})?(/[!-~]*)?|(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*)(:[0-9]{1,5})?)$",
    2048,
    "write a host, host:port or URL: https://github.com/acme/web"
);

impl Duration {
    /// In milliseconds; none where that exceeds every use.
    pub(in crate::kit) fn milliseconds(&self) -> Option<u64> {
        let text = self.0.as_str();
        let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let unit: u64 = match &text[digits..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => 86_400_000,
        };
        text[..digits].parse::<u64>().ok()?.checked_mul(unit)
    }

    /// In seconds, rounded up.
    pub(in crate::kit) fn seconds(&self) -> Option<u64> {
        self.milliseconds().map(|milliseconds| milliseconds.div_ceil(1_000))
    }
}
