mod golden;
mod planning;
