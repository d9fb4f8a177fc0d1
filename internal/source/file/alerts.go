package file

import (
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/source/form"
)

// Alerts say who is told about incidents.
type Alerts struct {
	form.Mapping
	Channels  []form.Named[Channel] `key:"channels" is:"name" doc:"Ways to reach somebody, by name."`
	Routes    []Route               `key:"routes" doc:"Which incidents go to which channels; the first match wins."`
	Heartbeat *Heartbeat            `key:"heartbeat" doc:"An outside address that is asked again and again, and tells somebody when that ends: a dead scheduler cannot."`
}

// Channel is a way to reach somebody.
type Channel struct {
	form.Mapping
	Kind           form.Text     `key:"kind" required:"" one_of:"webhook,alertmanager,slack,pagerduty,opsgenie,email" doc:"Kind of channel."`
	URL            form.Text     `key:"url" of:"webhook,alertmanager,slack,pagerduty,opsgenie" required:"webhook,alertmanager" fill:"secret" doc:"Where messages are sent. For alertmanager its address without /api/v2. For slack the incoming webhook, or with a token the API, https://slack.com/api unless it is another one. For pagerduty https://events.pagerduty.com unless it is another one, such as https://events.eu.pagerduty.com. For opsgenie the flavour's, unless it is another one, such as https://api.eu.opsgenie.com."`
	HMAC           form.Text     `key:"hmac" of:"webhook" fill:"secret" doc:"Key that signs each request."`
	Token          form.Text     `key:"token" of:"slack,alertmanager" fill:"secret" doc:"For slack a bot's token, in place of an incoming webhook: an incident is one message with a thread, which is rewritten at its end. For alertmanager a bearer token."`
	User           form.Text     `key:"user" of:"alertmanager,email" fill:"secret" doc:"Who sends, where the receiver wants to know."`
	Password       form.Text     `key:"password" of:"alertmanager,email" fill:"secret" doc:"The user's password."`
	ResolveTimeout form.Duration `key:"resolve_timeout" of:"alertmanager" default:"5m" doc:"How long Alertmanager holds an alert that is not sent again; it is sent three times as often."`
	Channel        form.Text     `key:"channel" of:"slack" doc:"With a token: the Slack channel, by name or id."`
	Key            form.Text     `key:"key" of:"pagerduty,opsgenie" required:"pagerduty,opsgenie" fill:"secret" doc:"For pagerduty the routing key of an integration of the kind Events API v2; for opsgenie the key of an API integration."`
	Flavour        form.Text     `key:"flavour" of:"opsgenie" one_of:"jsm,opsgenie" default:"jsm" doc:"jsm: Jira Service Management; opsgenie: Opsgenie itself, whose end Atlassian has announced. Both speak the same protocol."`
	Host           form.Text     `key:"host" of:"email" required:"email" doc:"The mail server."`
	Port           form.Whole    `key:"port" of:"email" default:"587 with starttls, 465 with tls, 25 with none" doc:"Its port."`
	TLS            form.Text     `key:"tls" of:"email" one_of:"starttls,tls,none" default:"starttls" doc:"starttls: the connection must become TLS before anything is said; tls: it is TLS from the first byte; none: in clear, for a relay on this machine."`
	From           form.Text     `key:"from" of:"email" required:"email" doc:"Who writes: an address, with a name where one is wanted."`
	To             []form.Text   `key:"to" one:"" of:"email" required:"email" doc:"Who is written to: addresses."`
	Else           form.Text     `key:"else" doc:"Another channel, which is told of an incident as well when this one refuses a message, or has not taken it for a minute."`
}

// Route sends incidents to channels.
type Route struct {
	form.Mapping
	Name   form.Text     `key:"name" is:"name" doc:"Name of the route, for tidemill alert."`
	When   form.Text     `key:"when" is:"cel" doc:"CEL over severity, kind, pipeline, task and owner; without it everything matches."`
	To     []form.Text   `key:"to" one:"" required:"" doc:"Channels; an empty list is seen in command line and UI only."`
	Repeat form.Duration `key:"repeat" doc:"How often an open incident is told again."`
}

// Heartbeat is an outside address that hears from the server.
type Heartbeat struct {
	form.Mapping
	URL   form.Text     `key:"url" short:"" required:"" fill:"secret" doc:"What is asked with GET while the server schedules and can write its ledger."`
	Every form.Duration `key:"every" default:"1m" doc:"How often."`
}

// Settings are what the channel says, by key.
func (c Channel) Settings() map[string]string {
	out := map[string]string{}
	for key, text := range map[string]form.Text{"url": c.URL, "hmac": c.HMAC, "token": c.Token, "channel": c.Channel, "key": c.Key, "flavour": c.Flavour, "user": c.User, "password": c.Password, "host": c.Host, "tls": c.TLS, "from": c.From} {
		if text.Given {
			out[key] = text.V
		}
	}
	if c.Port.Given {
		out["port"] = strconv.FormatInt(c.Port.V, 10)
	}
	if len(c.To) > 0 {
		to := make([]string, len(c.To))
		for i, one := range c.To {
			to[i] = one.V
		}
		out["to"] = strings.Join(to, ", ")
	}
	if c.ResolveTimeout.Given {
		out["resolve_timeout"] = c.ResolveTimeout.V.String()
	}
	return out
}
