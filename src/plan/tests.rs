mod fields;
mod golden;
mod planning;
