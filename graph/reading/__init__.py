"""Reading by fresh models: texts cut into leaves, leaves read in parallel, records that code joins."""
