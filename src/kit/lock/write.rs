//! The lock file as text: sorted, every value in double quotes, one entry per line where that is readable in a diff.

use super::{Lock, VERSION};

const HEAD: &str =
    "# What registries, kits and packages resolved to. Written by `cofferdam update`; commit it.\n";

impl Lock {
    /// The file's text. The same content is always the same bytes.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}version: {VERSION}\n");
        if !self.registries.is_empty() {
            text.push_str("registries:\n");
        }
        for (name, locked) in &self.registries {
            text.push_str(&format!("  {name}:\n"));
            for url in &locked.urls {
                text.push_str(&format!("    - {}\n", quoted(&url.to_string())));
            }
        }
        if !self.kits.is_empty() {
            text.push_str("kits:\n");
        }
        for (name, kit) in &self.kits {
            text.push_str(&format!("  {name}:\n"));
            text.push_str(&format!("    source: {}\n", quoted(&kit.source)));
            text.push_str(&format!("    digest: {}\n", quoted(&kit.digest)));
        }
        if !self.packages.is_empty() {
            text.push_str("packages:\n");
        }
        for (image, packages) in &self.packages {
            text.push_str(&format!("  {image}:\n"));
            for (name, package) in packages {
                text.push_str(&format!("    {}: {}\n", quoted(name), quoted(&package.version)));
            }
        }
        if !self.sources.is_empty() {
            text.push_str("sources:\n");
        }
        for (source, locked) in &self.sources {
            text.push_str(&format!("  {}:\n", quoted(&source.to_string())));
            text.push_str(&format!("    commit: {}\n", quoted(&locked.pin.commit)));
            text.push_str(&format!("    digest: {}\n", quoted(&locked.pin.digest)));
        }
        text
    }
}

/// In double quotes, as JSON has them, which YAML reads the same way.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
