//! The hostile files: what a reader of YAML meets, and what a reader of this format does.

/// A file of about `size` bytes.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) make: fn(usize) -> Vec<u8>,
    /// Whether it is nothing but a long file: then it need not be refused.
    pub(super) harmless: bool,
}

pub(super) const HEAD: &str =
    "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: a}\nspec:\n  agent: shell\n";

pub(super) fn lines(size: usize, line: impl Fn(usize) -> String) -> Vec<u8> {
    let mut text = String::with_capacity(size);
    for number in 0.. {
        if text.len() >= size {
            break;
        }
        text.push_str(&line(number));
    }
    text.into_bytes()
}

fn after_head(size: usize, line: impl Fn(usize) -> String) -> Vec<u8> {
    [HEAD.as_bytes(), &lines(size, line)].concat()
}

/// A document of this kind and name.
pub(super) fn document(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: cofferdam.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}"
    )
}

/// Two documents of half the size each: what is declared, and what is said about it.
fn halves(size: usize, heads: [(&str, &str, &str); 2], lines: [fn(usize) -> String; 2]) -> Vec<u8> {
    let half = |(kind, name, spec), line| {
        [document(kind, name, spec).as_bytes(), &self::lines(size / 2, line)].concat()
    };
    let [first, second] = heads;
    [half(first, lines[0]), half(second, lines[1])].concat()
}

const fn attack(name: &'static str, make: fn(usize) -> Vec<u8>) -> Attack {
    Attack { name, make, harmless: false }
}

pub(super) const ATTACKS: [Attack; 34] = [
    attack("bomb of aliases", |size| lines(size, |n| format!("a{}: &a{} [*a{n}, *a{n}]\n", n + 1, n + 1))),
    attack("anchors", |size| lines(size, |n| format!("a{n}: &a{n} 1\n"))),
    attack("aliases", |size| [b"a: &a 1\n".as_slice(), &lines(size, |n| format!("b{n}: *a\n"))].concat()),
    attack("merge keys", |size| lines(size, |_| "<<: {a: 1}\n".into())),
    attack("tags", |size| lines(size, |n| format!("k{n}: !!binary x\n"))),
    attack("signs of tags", |size| vec![b'!'; size]),
    attack("directives", |size| lines(size, |_| "%YAML 1.2\n".into())),
    attack("deep flow lists", |size| vec![b'['; size]),
    attack("deep flow mappings", |size| lines(size, |_| "{a: ".into())),
    attack("deep JSON", |size| lines(size, |_| "{\"a\":".into())),
    attack("deep block lists", |size| lines(size, |_| "- ".into())),
    attack("deep block mappings", |size| {
        // The indent alone makes it a square, so that its number of levels is the root of its size.
        let levels = size.isqrt();
        (0..levels).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>().into_bytes()
    }),
    attack("question marks", |size| lines(size, |_| "? ".into())),
    attack("one huge value", |size| [b"a: ".as_slice(), &vec![b'x'; size]].concat()),
    attack("one huge key", |size| [&vec![b'x'; size], b": 1".as_slice()].concat()),
    attack("one open quotation", |size| [b"{\"a\": \"".as_slice(), &vec![b'x'; size]].concat()),
    attack("escapes in one value", |size| {
        lines(size, |n| if n == 0 { "{\"a\": \"".into() } else { "\\u0041".into() })
    }),
    attack("a folded value", |size| lines(size, |n| if n == 0 { "a: >\n".into() } else { "  x\n\n".into() })),
    attack("a plain value over many lines", |size| {
        lines(size, |n| if n == 0 { "a:\n".into() } else { "  x\n".into() })
    }),
    attack("one long line of items", |size| lines(size, |n| if n == 0 { "[".into() } else { "1,".into() })),
    attack("quotes", |size| vec![b'\''; size | 1]),
    attack("braces", |size| lines(size, |_| "{}".into())),
    attack("tabs", |size| [b"a:\n".as_slice(), &vec![b'\t'; size], b"b: 1".as_slice()].concat()),
    attack("not UTF-8 at its end", |size| [&vec![b'#'; size], [0xff, 0xfe].as_slice()].concat()),
    attack("UTF-16", |size| lines(size, |_| "a\0:\0 \0".into())),
    attack("a control character at its end", |size| [&vec![b'#'; size], b"\x1b[2J".as_slice()].concat()),
    attack("many keys", |size| lines(size, |n| format!("k{n}: 1\n"))),
    attack("one key over and over", |size| lines(size, |_| "k: 1\n".into())),
    attack("unknown keys", |size| after_head(size, |n| format!("  agen{n}: 1\n"))),
    attack("rules that are wrong", |size| {
        after_head(size, |n| {
            if n == 0 { "  network:\n    rules:\n".into() } else { format!("    - {{alow: h{n}.example}}\n") }
        })
    }),
    attack("many documents that are not ours", |size| lines(size, |_| "---\na\n".into())),
    attack("documents that are wrong", |size| {
        lines(size, |n| format!("---\n{HEAD}  agnt: {n}\n").replace("name: a", &format!("name: a{n}")))
    }),
    Attack { name: "comments", make: |size| lines(size, |_| "#\n".into()), harmless: true },
    Attack {
        name: "byte order mark and CRLF",
        make: |size| lines(size, |n| if n == 0 { "\u{feff}".into() } else { "# x\r\n".into() }),
        harmless: true,
    },
];

/// What is right in form, and makes the checks of meaning look at everything beside everything else.
pub(super) const MEANINGS: [Attack; 13] = [
    attack("kits, and names of none", |size| {
        lines(size, |n| match n % 2 {
            0 => document("Mixin", &format!("m{n}"), "  env: {A: x}\n"),
            _ => document("Sandbox", &format!("s{n}"), &format!("  agent: shell\n  kits: [x{n}]\n")),
        })
    }),
    attack("agents, and names of none", |size| {
        lines(size, |n| match n % 2 {
            0 => document("Agent", &format!("m{n}"), "  command: {interactive: [x]}\n"),
            _ => document("Sandbox", &format!("s{n}"), &format!("  agent: x{n}\n")),
        })
    }),
    attack("arguments that no kit has", |size| {
        let heads = [
            ("Mixin", "m", "  args:\n"),
            ("Sandbox", "s", "  agent: shell\n  kits:\n  - kit: m\n    args:\n"),
        ];
        halves(
            size,
            heads,
            [|n| format!("    a{n}: {{default: 1}}\n"), |n| format!("      bbbbbbbb{n}: 1\n")],
        )
    }),
    attack("arguments that are given", |size| {
        let heads = [
            ("Mixin", "m", "  args:\n"),
            ("Sandbox", "s", "  agent: shell\n  kits:\n  - kit: m\n    args:\n"),
        ];
        halves(size, heads, [|n| format!("    a{n}: {{default: 1}}\n"), |n| format!("      a{n}: b\n")])
    }),
    attack("arguments that are used and not declared", |size| {
        let heads = [("Mixin", "m", "  args:\n"), ("Mixin", "n", "  args:\n")];
        let mut text = halves(
            size / 2,
            heads,
            [|n| format!("    a{n}: {{default: 1}}\n"), |n| format!("    a{n}: {{default: 1}}\n")],
        );
        text.extend(b"  env:\n");
        text.extend(lines(size / 2, |n| format!("    E{n}: \"${{{{ args.bbbbbbbb{n} }}}}\"\n")));
        text
    }),
    attack("services, and names of none", |size| {
        lines(size, |n| match n % 2 {
            0 => document(
                "Service",
                &format!("v{n}"),
                "  hosts: [a.vendor.example]\n  inject: {header: x}\n  why: x\n",
            ),
            _ => {
                document("Sandbox", &format!("s{n}"), &format!("  agent: shell\n  secrets: [xxxxxxxx{n}]\n"))
            }
        })
    }),
    attack("secrets, and rules for other hosts", |size| {
        let heads = [("Sandbox", "s", "  agent: shell\n  secrets:\n"), ("Mixin", "m", "  env: {A: x}\n")];
        let secret: fn(usize) -> String = |n| {
            format!(
                "  - {{name: s{n}, env: S{n}, inject: [{{host: h{n}.vendor.example, header: x-key}}], why: x}}\n"
            )
        };
        let mut text = halves(size / 2, heads, [secret, |_| "\n".into()]);
        let end = text.windows(3).rposition(|it| it == b"---").unwrap_or_default();
        text.truncate(end);
        text.extend(b"  network:\n    rules:\n");
        text.extend(lines(size / 2, |n| format!("    - {{allow: r{n}.vendor.example, why: x}}\n")));
        text
    }),
    attack("secrets that are named and not there", |size| {
        let head = document("Sandbox", "s", "  agent: shell\n  secrets:\n");
        let secret = |n| {
            format!(
                "  - {{name: s{n}, env: S{n}, inject: [{{host: h{n}.vendor.example, header: x-key}}], why: x}}\n"
            )
        };
        let named = |n| format!("    E{n}: \"${{{{ secrets.t{n}.placeholder }}}}\"\n");
        [head.as_bytes(), &lines(size / 2, secret), b"  env:\n", &lines(size / 2, named)].concat()
    }),
    attack("denies, and what they deny", |size| {
        let head = document("Sandbox", "s", "  agent: shell\n  network:\n    rules:\n");
        let line = |n| match n % 2 {
            0 => format!("    - {{deny: \"d{n}.vendor.example:{}\"}}\n", 1 + n % 60_000),
            _ => {
                format!("    - {{allow: \"**.vendor.example:{}\", protocol: tcp, why: x}}\n", 1 + n % 60_000)
            }
        };
        [head.as_bytes(), b"    - {deny: \"**.vendor.example\"}\n", &lines(size, line)].concat()
    }),
    attack("networks that are denied", |size| {
        let head = document("Sandbox", "s", "  agent: shell\n  network:\n    rules:\n");
        let line = |n| match n % 2 {
            0 => format!("    - {{deny: \"9.{}.{}.0/24\"}}\n", n / 256 % 256, n % 256),
            _ => format!("    - {{allow: \"9.{}.{}.1\", why: x}}\n", n / 256 % 256, n % 256),
        };
        [head.as_bytes(), &lines(size, line)].concat()
    }),
    Attack {
        name: "what is locked, and what is set",
        harmless: true,
        make: |size| {
            let heads = [
                ("Agent", "a", "  command: {interactive: [x]}\n  locked:\n"),
                ("Sandbox", "s", "  agent: a\n  env:\n"),
            ];
            halves(size, heads, [|n| format!("  - env.A{n}\n"), |n| format!("    B{n}: x\n")])
        },
    },
    Attack {
        name: "ports and files",
        harmless: true,
        make: |size| {
            let heads = [
                ("Sandbox", "s", "  agent: shell\n  files:\n"),
                ("Sandbox", "t", "  agent: shell\n  ports:\n"),
            ];
            halves(
                size,
                heads,
                [
                    |n| format!("  - {{path: ~/f{n}, content: x}}\n"),
                    |n| format!("  - {{guest: {}}}\n", 1 + n % 60_000),
                ],
            )
        },
    },
    attack("one sandbox over and over", |size| lines(size, |_| document("Sandbox", "s", "  agent: shell\n"))),
];
