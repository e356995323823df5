mod fields;
mod golden;
mod laws;
mod planning;
