package migrations

// Provider is how a database is migrated, for tests that stop half way.
var Provider = provider
