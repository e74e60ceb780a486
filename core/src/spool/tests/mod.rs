mod faults;
mod format;
mod proof;
mod real;
mod store;
