package ledger

import (
	"context"
	"database/sql"
	"time"
)

// LastTold says to which channels an open incident was told before a time, and
// when last, where no message is under way.
func (l *Ledger) LastTold(ctx context.Context, before time.Time) ([]Notification, error) {
	rows, err := l.reader.QueryContext(ctx, l.engine.Text(`SELECT o.environment, o.incident, o.channel, max(o.created_us)
		FROM outbox o JOIN incident i ON i.environment = o.environment AND i.incident = o.incident
		WHERE i.state = 'open' AND o.action = 'firing' AND o.channel <> ''
		GROUP BY o.environment, o.incident, o.channel
		HAVING max(o.created_us) <= $1 AND max(CASE WHEN o.state = 'pending' THEN 1 ELSE 0 END) = 0
		ORDER BY o.environment, o.incident, o.channel`), us(before))
	return scanAll(rows, err, func(r *sql.Rows) (n Notification, err error) {
		var last int64
		err = r.Scan(&n.Environment, &n.Incident, &n.Channel, &last)
		n.Created = at(last)
		return n, err
	})
}

// TellAgain puts another message into the outbox, if its incident is still open.
func (l *Ledger) TellAgain(ctx context.Context, n Notification) error {
	return l.write(ctx, func(tx *Tx) error {
		id, err := tx.next("outbox")
		if err != nil {
			return err
		}
		tx.note.Outbox = true
		return tx.exec(`INSERT INTO outbox (id, environment, incident, action, channel, state, created_us, next_us, body)
			SELECT $1, i.environment, i.incident, 'firing', $4, 'pending', $5, $5, $6 FROM incident i
			WHERE i.environment = $2 AND i.incident = $3 AND i.state = 'open'
				AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.environment = i.environment AND o.incident = i.incident
					AND o.channel = $4 AND o.action = 'firing' AND (o.state = 'pending' OR o.created_us > $7))`,
			id, n.Environment, n.Incident, n.Channel, us(tx.now), string(n.Body), us(n.Created))
	})
}
