//! (to be written)

mod de;
mod parse;
mod problem;
mod scalar;
mod schema;
mod shape;
mod spanned;
mod tree;
mod validate;
mod wire;
