// Package slack tells a Slack channel of incidents.
//
// With an incoming webhook each message stands by itself. With a bot token an
// incident is one message: what is told again goes into its thread, and at the
// end the message itself says so. Where the thread is stands in the answer that
// the outbox keeps of the first message.
package slack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/message"
	"github.com/tidemill/tidemill/internal/notify/post"
	"github.com/tidemill/tidemill/internal/secret"
)

// API is where a bot token is used unless the project says otherwise.
const API = "https://slack.com/api"

// What Slack takes, in bytes here, which is no more than in its characters. The
// fallback text stands in lock screens and for screen readers.
const (
	maxHeader  = 150
	maxSection = 3000
	maxText    = 3000
)

// pace is what Slack takes per channel.
const pace = time.Second

// Channel is a channel of a Slack workspace.
type Channel struct {
	Name  string
	URL   secret.Value // of the incoming webhook; with a token, of the API
	Token secret.Value // of a bot; empty: URL is an incoming webhook
	To    string       // the Slack channel that the bot posts to
	HTTP  *http.Client // nil: the default one
}

// Open makes a channel of its settings, the secrets filled in.
func Open(name string, settings map[string]string) (notify.Channel, error) {
	c := Channel{Name: name, URL: secret.New(settings["url"]), Token: secret.New(settings["token"]), To: settings["channel"]}
	if c.Token.Reveal() != "" && settings["url"] == "" {
		c.URL = secret.New(API)
	}
	return c, nil
}

// Pace is the time between two messages.
func (Channel) Pace() time.Duration { return pace }

// Send posts a message, or a part of an incident's thread.
func (c Channel) Send(ctx context.Context, m notify.Message) (string, error) {
	body := render(m)
	if c.Token.Reveal() == "" {
		raw, err := post.JSON(body)
		if err != nil {
			return "", err
		}
		answer, err := post.Request{Channel: c.Name, URL: c.URL, Body: raw, HTTP: c.HTTP}.Do(ctx)
		if err != nil {
			return "", err
		}
		return answer.Text, answer.Err(c.Name)
	}
	root, known := threadOf(m.Earlier)
	switch {
	case !known:
		return c.first(ctx, body)
	case m.Action == "resolved":
		return c.last(ctx, root, body)
	}
	body.Channel, body.Thread = root.channel, root.ts
	at, err := c.call(ctx, "chat.postMessage", body)
	return at.answer("threaded"), err
}

func (c Channel) first(ctx context.Context, body content) (string, error) {
	body.Channel = c.To
	at, err := c.call(ctx, "chat.postMessage", body)
	return at.answer(posted), err
}

// last rewrites the incident's message, and says so in its thread, since nobody
// hears of a message that is rewritten.
func (c Channel) last(ctx context.Context, root place, body content) (string, error) {
	body.Channel, body.TS = root.channel, root.ts
	if _, err := c.call(ctx, "chat.update", body); err != nil {
		if refused, ok := err.(*refusal); ok && slices.Contains(gone, refused.code) { //nolint:errorlint // as call made it
			body.TS = ""
			return c.first(ctx, body)
		}
		return "", err
	}
	at, err := c.call(ctx, "chat.postMessage", content{Channel: root.channel, Thread: root.ts, Text: body.Text})
	return at.answer("updated " + root.ts + ", threaded"), err
}

// gone are the answers to an update of a message that can be updated no more.
var gone = []string{"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"}

// posted begins the answer that says where an incident's thread is.
const posted = "posted"

// place is a message in Slack.
type place struct{ channel, ts string }

// answer is what the outbox keeps.
func (p place) answer(what string) string {
	if p.ts == "" {
		return ""
	}
	return fmt.Sprintf("%s %s %s", what, p.channel, p.ts)
}

// threadOf finds the incident's message in the answers that were kept.
func threadOf(earlier []notify.Sent) (place, bool) {
	for _, e := range earlier {
		if f := strings.Fields(e.Answer); len(f) == 3 && f[0] == posted {
			return place{f[1], f[2]}, true
		}
	}
	return place{}, false
}

// refusal is an answer of the API that is no.
type refusal struct {
	code string
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// call uses a method of the API, which says no with the status 200.
func (c Channel) call(ctx context.Context, method string, body content) (place, error) {
	raw, err := post.JSON(body)
	if err != nil {
		return place{}, err
	}
	answer, err := post.Request{
		Channel: c.Name, URL: secret.New(strings.TrimSuffix(c.URL.Reveal(), "/") + "/" + method), Body: raw, Secrets: []secret.Value{c.Token}, HTTP: c.HTTP,
		Header: map[string]string{"Authorization": "Bearer " + c.Token.Reveal(), "Content-Type": "application/json; charset=utf-8"},
	}.Do(ctx)
	if err != nil {
		return place{}, err
	}
	if err := answer.Err(c.Name); err != nil {
		return place{}, err
	}
	var said struct {
		OK      bool   `json:"ok"`
		Error   string `json:"error"`
		Channel string `json:"channel"`
		TS      string `json:"ts"`
	}
	if err := json.Unmarshal(answer.Body, &said); err != nil {
		return place{}, fault.New(fault.Unavailable, "channel %s: the answer to %s is not Slack's: %s", c.Name, method, answer.Text)
	}
	if !said.OK {
		err := fault.New(kindOf(said.Error), "channel %s: %s was refused: %s", c.Name, method, said.Error)
		if said.Error == "ratelimited" {
			answer.Status = http.StatusTooManyRequests
			err = answer.Err(c.Name)
		}
		return place{}, &refusal{said.Error, err}
	}
	return place{said.Channel, said.TS}, nil
}

// kindOf says who must act on a refusal: nobody, where Slack itself is in trouble.
func kindOf(code string) fault.Kind {
	switch code {
	case "ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org":
		return fault.Unavailable
	case "not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "missing_scope", "no_permission", "not_in_channel", "restricted_action":
		return fault.Denied
	}
	return fault.Invalid
}

// content is a message as Slack takes it.
type content struct {
	Channel string  `json:"channel,omitempty"`
	TS      string  `json:"ts,omitempty"`        // of the message that is rewritten
	Thread  string  `json:"thread_ts,omitempty"` // of the message that is answered
	Text    string  `json:"text"`
	Blocks  []block `json:"blocks,omitempty"`
}

type block struct {
	Type string `json:"type"`
	Text text   `json:"text"`
}

type text struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func render(m notify.Message) content {
	n := message.Of(m)
	short := n.Headline()
	if n.Ended != "" {
		short += "\n" + n.Ended
	} else if n.Error != "" {
		short += "\n" + n.Error
	}
	out := content{Text: marked(short, maxText), Blocks: []block{
		{"header", text{"plain_text", message.Cut(n.Headline(), maxHeader)}},
	}}
	section := func(before, content, after string) {
		if content != "" {
			out.Blocks = append(out.Blocks, block{"section", text{"mrkdwn", before + marked(content, maxSection-len(before)-len(after)) + after}})
		}
	}
	section("", strings.Join(n.Lines(), "\n"), "")
	var lines []string
	for _, c := range n.Type {
		lines = append(lines, fmt.Sprintf("%-6s %s", c.For+":", c.Text))
	}
	section("```", strings.Join(lines, "\n"), "```")
	return out
}

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// marked escapes a text for Slack and keeps the result within a length.
func marked(plain string, most int) string {
	for {
		out := escapes.Replace(plain)
		if len(out) <= most {
			return out
		}
		plain = message.Cut(plain, min(len(plain)*most/len(out), len(plain)-1))
	}
}
