//! The files' types: what is written, before it means anything.
//!
//! The published schemas are generated from these, their doc comments included, so that a comment here is what an
//! author reads in an editor. One file per part of the format:
//!
//! | File | Part |
//! |---|---|
//! | `envelope` | `apiVersion`, `kind`, `metadata` |
//! | `text` | texts with a form of their own |
//! | `sandbox` | kind Sandbox |
//! | `network` | rules and host services |
//! | `secret` | secrets, kind Service |
//! | `agent` | kinds Agent and Mixin |
//! | `kitref`, `argument` | kits by name, and their arguments |
//! | `org` | kind OrgPolicy |
//! | `guest` | files, commands and ports of the sandbox |
//! | `config` | the operator's configuration |
//! | `later` | what is part of the format and not carried out yet |

pub(super) mod agent;
pub(super) mod argument;
pub(super) mod command;
pub(super) mod config;
pub(super) mod envelope;
pub(super) mod guest;
pub(super) mod kitref;
pub(super) mod later;
pub(super) mod network;
pub(super) mod org;
pub(super) mod sandbox;
pub(super) mod secret;
pub(super) mod text;
