mod compare;
mod crowded;
mod fields;
mod golden;
mod laws;
mod planning;
