// Package email tells people of incidents by e-mail.
//
// An incident is one thread: its first message has an id that follows from the
// incident, and every later one refers to it, so that readers show them together.
// A message that is sent twice has the same id both times.
package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/notify"
	"github.com/tidemill/tidemill/internal/notify/message"
	"github.com/tidemill/tidemill/internal/secret"
)

// timeout bounds each step of a conversation with a server.
const timeout = 15 * time.Second

// Modes of TLS, with their ports.
const (
	StartTLS = "starttls" // the connection begins in clear and must become TLS
	TLS      = "tls"      // TLS from the first byte
	None     = "none"     // in clear: for a relay on this machine
)

var ports = map[string]int{StartTLS: 587, TLS: 465, None: 25}

// Channel is a mail server and those who are written to.
type Channel struct {
	Name     string
	Host     string
	Port     int
	Mode     string
	User     string
	Password secret.Value
	From     *mail.Address
	To       []*mail.Address
	TLS      *tls.Config // nil: the system's
}

// Open makes a channel of its settings, the secrets filled in.
func Open(name string, settings map[string]string) (notify.Channel, error) {
	c := Channel{Name: name, Host: settings["host"], Mode: settings["tls"], User: settings["user"], Password: secret.New(settings["password"])}
	if c.Mode == "" {
		c.Mode = StartTLS
	}
	c.Port = ports[c.Mode]
	var err error
	if text := settings["port"]; text != "" {
		if c.Port, err = strconv.Atoi(text); err != nil {
			return nil, fault.New(fault.Invalid, "channel %s: port: %w", name, err)
		}
	}
	if c.From, err = mail.ParseAddress(settings["from"]); err != nil {
		return nil, fault.New(fault.Invalid, "channel %s: from: %w", name, err)
	}
	if c.To, err = mail.ParseAddressList(settings["to"]); err != nil {
		return nil, fault.New(fault.Invalid, "channel %s: to: %w", name, err)
	}
	return c, nil
}

// Send writes one message to everybody. Where the server refuses some of them the
// others are written to all the same.
func (c Channel) Send(ctx context.Context, m notify.Message) (string, error) {
	answer, err := c.send(ctx, m, c.To)
	refused, ok := errors.AsType[*gomail.SendError](err)
	if !ok || refused.Reason != gomail.ErrSMTPRcptTo || !permanent(refused) || len(c.To) == 1 {
		return answer, c.judge(err)
	}
	var taken []string
	var no []error
	for _, to := range c.To {
		one, err := c.send(ctx, m, []*mail.Address{to})
		if err != nil {
			no = append(no, err)
			continue
		}
		taken = append(taken, one)
	}
	if len(taken) == 0 {
		return "", c.judge(no[0])
	}
	return fmt.Sprintf("%s; %d of %d were refused: %s", taken[0], len(no), len(c.To), plain(no[0])), nil
}

// send has one conversation with the server.
func (c Channel) send(ctx context.Context, m notify.Message, to []*mail.Address) (string, error) {
	client, err := c.client()
	if err != nil {
		return "", err
	}
	msg := c.render(m, to)
	if err := client.DialWithContext(ctx); err != nil {
		return "", err
	}
	err = client.Send(msg)
	_ = client.Close() // what was taken was taken, however the server parts
	if msg.IsDelivered() {
		return oneLine(msg.ServerResponse()), nil
	}
	return "", err
}

func (c Channel) client() (*gomail.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		config = c.TLS.Clone()
	}
	config.ServerName = c.Host
	options := []gomail.Option{gomail.WithPort(c.Port), gomail.WithTimeout(timeout), gomail.WithTLSConfig(config)}
	switch c.Mode {
	case TLS:
		options = append(options, gomail.WithSSL())
	case None:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if c.User != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(c.User), gomail.WithPassword(c.Password.Reveal()))
	}
	client, err := gomail.NewClient(c.Host, options...)
	if err != nil {
		return nil, fault.New(fault.Invalid, "channel %s: %w", c.Name, err)
	}
	return client, nil
}

// judge says whether it helps to try again. A server that does not know the user
// or the password may be put right, so what is to be sent waits for that.
func (c Channel) judge(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if e, ok := errors.AsType[*gomail.SendError](err); ok {
		if permanent(e) {
			return fault.New(fault.Invalid, "channel %s: %s", c.Name, plain(err))
		}
		return fault.New(fault.Unavailable, "channel %s: %s", c.Name, plain(err))
	}
	if e, ok := errors.AsType[*textproto.Error](err); ok && e.Code/100 == 5 {
		return fault.New(fault.Unavailable, "%w: channel %s: %s", notify.ErrUnusable, c.Name, plain(err))
	}
	return fault.New(fault.Unavailable, "channel %s: %s", c.Name, plain(err))
}

func permanent(e *gomail.SendError) bool { return e.ErrorCode()/100 == 5 }

func plain(err error) string { return oneLine(err.Error()) }

func oneLine(text string) string { return message.Cut(strings.Join(strings.Fields(text), " "), 512) }

// rootID is the id of an incident's first message.
func (c Channel) rootID(m notify.Message) string {
	return "tidemill." + m.Incident.ID + "." + c.Name + "@" + domain(c.From)
}

// ids are a message's own id and that of the one it refers to, which is empty for the first.
func (c Channel) ids(m notify.Message) (own, refers string) {
	if len(m.Earlier) == 0 && m.Action != "resolved" {
		return c.rootID(m), ""
	}
	return fmt.Sprintf("tidemill.%s.%s.%d@%s", m.Incident.ID, c.Name, m.ID, domain(c.From)), c.rootID(m)
}

func domain(a *mail.Address) string { return a.Address[strings.LastIndexByte(a.Address, '@')+1:] }

func (c Channel) render(m notify.Message, to []*mail.Address) *gomail.Msg {
	n := message.Of(m)
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(c.From)
	msg.ToMailAddress(to...)
	msg.Subject(n.Headline())
	msg.SetDate()
	own, refers := c.ids(m)
	msg.SetMessageIDWithValue(own)
	if refers != "" {
		msg.SetGenHeader(gomail.HeaderInReplyTo, "<"+refers+">")
		msg.SetGenHeader(gomail.HeaderReferences, "<"+refers+">")
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	msg.SetGenHeader("X-Tidemill-Id", strconv.FormatInt(m.ID, 10))
	msg.SetBodyString(gomail.TypeTextPlain, n.Text()+"\n")
	msg.AddAlternativeString(gomail.TypeTextHTML, page(n))
	return msg
}

// page is the note for readers that show no plain text.
func page(n message.Note) string {
	var b strings.Builder
	b.WriteString("<!doctype html><html><body style=\"font-family:sans-serif\"><p><b>" + html.EscapeString(n.Headline()) + "</b></p><p>")
	for _, line := range n.Lines() {
		b.WriteString(html.EscapeString(line) + "<br>\n")
	}
	b.WriteString("</p>")
	if len(n.Type) > 0 {
		b.WriteString("<pre>")
		for _, c := range n.Type {
			fmt.Fprintf(&b, "%-6s %s\n", c.For+":", html.EscapeString(c.Text))
		}
		b.WriteString("</pre>")
	}
	b.WriteString("</body></html>\n")
	return b.String()
}
