//! Statistics: paired tests, intervals and sequential tests, each citing its source.
