package run_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/core/run"
)

func TestAPromotionSaysWhatItsConditionSaw(t *testing.T) {
	t.Parallel()
	const condition = "auc >= 0.6 && (champion == null || auc >= champion.auc - 0.01)"
	type metrics = map[string]float64
	for _, c := range []struct {
		condition         string
		metrics, champion metrics
		promoted          bool
		want              string
	}{
		{condition, metrics{"auc": 0.55, "rows": 7}, nil, false, "not promoted to best: " + condition + " is false with auc = 0.55, no champion yet"},
		{condition, metrics{"auc": 0.7}, nil, true, "promoted to best: " + condition + " is true with auc = 0.7, no champion yet"},
		{condition, metrics{"auc": 0.65}, metrics{"auc": 0.7, "rows": 9}, false, "not promoted to best: " + condition + " is false with auc = 0.65, champion.auc = 0.7"},
		{"auc > 0.6", metrics{"auc": 0.6}, metrics{"auc": 0.7}, false, "not promoted to best: auc > 0.6 is false with auc = 0.6"},
		{"auc > 0.6", metrics{"loss": 0.1}, nil, false, "not promoted to best: auc > 0.6 cannot be judged: the script reported no metric auc"},
		{"auc > champion.auc", metrics{"auc": 0.6}, metrics{"loss": 0.2}, false, "not promoted to best: auc > champion.auc cannot be judged with auc = 0.6: auc > champion.auc: no such key: auc"},
		{"auc >", metrics{"auc": 0.6}, nil, false, ""},
	} {
		got := run.Promote("best", c.condition, c.metrics, c.champion)
		if got.Promoted != c.promoted || c.want != "" && got.String() != c.want {
			t.Errorf("%s of %v: %s; want %s", c.condition, c.metrics, got, c.want)
		}
	}
}
