package notify

// Kind is a kind of incident that a pipeline can have.
type Kind struct {
	Name     string
	Severity string
	Task     bool // it is about a task; else about the pipeline as a whole
	Owner    bool // it names the pipeline's owner
}

// Kinds are the kinds of incident that pipelines have, for those who ask
// beforehand who would hear of them.
var Kinds = []Kind{
	{Name: "task_failed", Severity: "error", Task: true, Owner: true},
	{Name: "backfill_failed", Severity: "error", Owner: true},
	{Name: "check_failed", Severity: "error", Task: true, Owner: true},
	{Name: "contract_broken", Severity: "error", Task: true, Owner: true},
	{Name: "worker_lost", Severity: "error", Task: true, Owner: true},
	{Name: "stale", Severity: "warning", Task: true, Owner: true},
	{Name: "late", Severity: "error", Owner: true},
	{Name: "missed_slot", Severity: "warning", Owner: true},
	{Name: "definition_error", Severity: "error"},
}
