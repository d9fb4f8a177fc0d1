// Package alert reads who is told about incidents: channels, routes, heartbeat.
//
// What a channel may say is declared in source/file; here is what the
// declaration cannot say. The package must not know how a channel sends.
package alert

import (
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/expr"
	"github.com/tidemill/tidemill/internal/core/problem"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/source/condition"
	"github.com/tidemill/tidemill/internal/source/file"
	"github.com/tidemill/tidemill/internal/source/form"
)

// reader collects what is wrong while it reads.
type reader struct {
	problems problem.List
	channels map[string]file.Channel
	names    []string
}

// Read returns what a project says about telling people, with what is wrong with it.
func Read(a file.Alerts) (project.Alerts, problem.List) {
	r := &reader{channels: map[string]file.Channel{}}
	var out project.Alerts
	for _, c := range a.Channels {
		r.names = append(r.names, c.Key.V)
		r.channels[c.Key.V] = c.Item
	}
	for _, c := range a.Channels {
		r.channel(c.Key, c.Item)
		out.Channels = append(out.Channels, project.Channel{
			Name: c.Key.V, Kind: c.Item.Kind.V, Settings: c.Item.Settings(), Else: c.Item.Else.V, Place: c.Key.Place,
		})
	}
	for i, one := range a.Routes {
		out.Routes = append(out.Routes, r.route(a.Routes, i, one))
	}
	if a.Heartbeat != nil {
		out.Heartbeat = r.heartbeat(*a.Heartbeat)
	}
	return out, r.problems
}

func (r *reader) add(code problem.Code, at problem.Place, remedy, format string, args ...any) {
	r.problems = append(r.problems, problem.New(code, at, remedy, format, args...))
}

// warn adds something that holds nothing back.
func (r *reader) warn(at problem.Place, remedy, format string, args ...any) {
	p := problem.New(problem.BadValue, at, remedy, format, args...)
	p.Severity = problem.SeverityWarning
	r.problems = append(r.problems, p)
}

func (r *reader) channel(name form.Text, c file.Channel) {
	r.address(c.URL)
	r.secret(c.Token, "token")
	r.secret(c.Key, "key")
	r.secret(c.Password, "password")
	if c.ResolveTimeout.Given && c.ResolveTimeout.V < leastTimeout {
		r.add(problem.BadDuration, c.ResolveTimeout.Place, "write 1m or more; Alertmanager's own default is 5m", "an alert that lapses so soon would come and go")
	}
	if c.User.Given != c.Password.Given {
		r.add(problem.MissingKey, name.Place, "give both, or neither", "user: and password: belong together")
	}
	if c.Kind.V == "slack" {
		r.slack(name.Place, c)
	}
	if c.Kind.V == "email" {
		r.email(c)
	}
	if c.Else.Given {
		r.otherwise(name, c)
	}
}

// slack checks that there is one way to Slack: an incoming webhook, or a bot with
// a channel to post to.
func (r *reader) slack(at problem.Place, c file.Channel) {
	switch {
	case !c.Token.Given && !c.URL.Given:
		r.add(problem.MissingKey, at, "add url: with an incoming webhook, or token: and channel: of a bot", "the channel lacks a way to Slack")
	case c.Token.Given && !c.Channel.Given:
		r.add(problem.MissingKey, at, "add channel: with the Slack channel that the bot posts to", "the channel has a token and lacks the key \"channel\"")
	case !c.Token.Given && c.Channel.Given:
		r.add(problem.BadValue, c.Channel.Place, "leave it out: an incoming webhook posts to the channel that it was made for; or give a token", "channel: has no effect without a token")
	case !c.Token.Given:
		r.secret(c.URL, "url of an incoming webhook")
	}
}

// email checks addresses, and that no password is sent in clear.
func (r *reader) email(c file.Channel) {
	for _, one := range append([]form.Text{c.From}, c.To...) {
		if !one.Given {
			continue
		}
		if _, err := mail.ParseAddress(one.V); err != nil {
			r.add(problem.BadValue, one.Place, "write name@example.net, or Name <name@example.net>", "%q is no address to write to", one.V)
		}
	}
	if strings.ContainsAny(c.Host.V, ":/") {
		r.add(problem.BadValue, c.Host.Place, "write the name alone; the port is a key of its own", "%q is no name of a server", c.Host.V)
	}
	if c.Port.Given && (c.Port.V == 0 || c.Port.V > maxPort) {
		r.add(problem.BadValue, c.Port.Place, "leave it out, or write 1 to 65535", "there is no port %d", c.Port.V)
	}
	if c.TLS.V == "none" && c.User.Given {
		r.add(problem.BadValue, c.TLS.Place, "write tls: starttls, or leave out user: and password:", "without TLS the password would be sent in clear")
	}
}

// secret warns of a secret that stands in the project's files.
func (r *reader) secret(t form.Text, what string) {
	if literal(t) {
		r.warn(t.Place, "declare it under secrets: and write {secret.NAME}", "the %s is a secret, and stands in the project's files", what)
	}
}

// otherwise checks the channel that is told in place of another one: it is
// there, and the way along them has an end.
func (r *reader) otherwise(name form.Text, c file.Channel) {
	if _, ok := r.channels[c.Else.V]; !ok {
		r.unknown(c.Else)
		return
	}
	seen := []string{name.V}
	for next := c.Else.V; next != ""; next = r.channels[next].Else.V {
		if slices.Contains(seen, next) {
			r.add(problem.BadValue, c.Else.Place, "name a channel of another kind, which does not lead back here",
				"else: goes in a circle: %s", strings.Join(append(seen, next), " → "))
			return
		}
		seen = append(seen, next)
	}
}

func (r *reader) unknown(name form.Text) {
	remedy := "declare it under alerts.channels"
	if near := problem.Nearest(name.V, r.names); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	}
	r.add(problem.UnknownChannel, name.Place, remedy, "unknown channel %q", name.V)
}

// literal reports whether a text is its own value: nothing is filled in.
func literal(t form.Text) bool { return t.Given && !strings.Contains(t.V, "{") }

// address checks an address that holds nothing to be filled in.
func (r *reader) address(t form.Text) {
	if !literal(t) {
		return
	}
	if u, err := url.Parse(t.V); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		r.add(problem.BadValue, t.Place, "write it as https://HOST/PATH", "%q is no address to send to", t.V)
	}
}

func (r *reader) route(all []file.Route, i int, one file.Route) project.Route {
	out := project.Route{Name: one.Name.V, When: one.When.V, To: []string{}, Repeat: one.Repeat.V, Place: one.Place}
	if one.When.Given {
		r.problems = append(r.problems, condition.Check(expr.ScopeRoute, one.When)...)
	} else if i < len(all)-1 && one.Given {
		r.warn(one.Place, "give it a when:, or make it the last one", "a route without when: takes every incident, so the routes behind it have no effect")
	}
	if one.Name.Given {
		_, taken := r.channels[one.Name.V]
		if taken || slices.ContainsFunc(all[:i], func(o file.Route) bool { return o.Name.V == one.Name.V }) {
			r.add(problem.BadValue, one.Name.Place, "give it a name of its own", "the name %q is taken by another route or a channel", one.Name.V)
		}
	}
	for _, to := range one.To {
		if _, ok := r.channels[to.V]; to.Given && !ok {
			r.unknown(to)
		}
		out.To = append(out.To, to.V)
	}
	return out
}

const maxPort = 65535

// leastTimeout is how long an alert must hold that is not sent again.
const leastTimeout = time.Minute

// beat is how often the heartbeat is sent unless the project says otherwise.
const beat = time.Minute

func (r *reader) heartbeat(h file.Heartbeat) *project.Heartbeat {
	r.address(h.URL)
	out := &project.Heartbeat{URL: h.URL.V, Every: beat}
	if h.Every.Given {
		if out.Every = h.Every.V; out.Every < time.Second {
			r.add(problem.BadDuration, h.Every.Place, "write 1s or more, such as 1m", "a heartbeat needs time between its beats")
		}
	}
	return out
}
