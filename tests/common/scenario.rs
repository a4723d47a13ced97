//! SIPp scenarios, step by step: what a telephone says and what it must hear, as caller or as called.
//!
//! A step that hears something else than it must fails the call, and so SIPp.

/// One scenario as it is written.
pub struct Scenario {
    steps: String,
    called: bool,
    routes_known: bool,
    cseq: u32,
    checks: u32,
}

/// A description of µ-law and telephone events at a port, in this direction.
pub fn sdp(port: &str, direction: &str) -> String {
    format!(
        "v=0\no=sipp 53655765 {version} IN IP4 [local_ip]\ns=-\nc=IN IP4 [local_ip]\nt=0 0\nm=audio {port} RTP/AVP 0 101\n\
         a=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=ptime:20\na={direction}",
        version = "[cseq]"
    )
}

/// The port that SIPp itself hears RTP on.
pub const OWN_PORT: &str = "[media_port]";

impl Scenario {
    /// A caller; begin with [`Self::invite`].
    pub fn caller() -> Self {
        Self { steps: String::new(), called: false, routes_known: false, cseq: 0, checks: 0 }
    }

    /// A telephone that is called: it has had the INVITE.
    pub fn called() -> Self {
        let mut scenario =
            Self { steps: String::new(), called: true, routes_known: true, cseq: 0, checks: 0 };
        scenario.steps.push_str(
            r#"<recv request="INVITE" rrs="true"><action>
              <ereg regexp="sip:[^>;]*" search_in="hdr" header="Contact:" check_it="true" assign_to="their_contact"/>
              <ereg regexp=".*" search_in="hdr" header="From:" check_it="true" assign_to="their_from"/>
              <ereg regexp=".*" search_in="hdr" header="To:" check_it="true" assign_to="their_to"/>
              <ereg regexp=".*" search_in="hdr" header="Via:" check_it="true" assign_to="their_via"/>
            </action></recv>"#,
        );
        scenario
    }

    /// The INVITE that begins the call, with further header lines.
    pub fn invite(mut self, headers: &str, body: Option<&str>) -> Self {
        self.cseq = 1;
        let head = format!(
            "INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n{VIA}Max-Forwards: 70\n{FROM}\
             To: <sip:[service]@[remote_ip]:[remote_port]>\nCall-ID: [call_id]\nCSeq: 1 INVITE\n{CONTACT}{headers}"
        );
        self.send(&head, body, true);
        self
    }

    /// A CANCEL of that INVITE.
    pub fn cancel(mut self) -> Self {
        let head = "CANCEL sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n[last_Via:]\nMax-Forwards: 70\n[last_From:]\n\
                    To: <sip:[service]@[remote_ip]:[remote_port]>\nCall-ID: [call_id]\nCSeq: 1 CANCEL\n";
        self.send(head, None, false);
        self
    }

    /// The next request within the call.
    pub fn request(mut self, method: &str, headers: &str, body: Option<(&str, &str)>) -> Self {
        self.cseq += 1;
        let kind = body.map(|(kind, _)| format!("Content-Type: {kind}\n")).unwrap_or_default();
        let head = format!("{}{CONTACT}{headers}{kind}", self.within(method, self.cseq));
        self.send_typed(&head, body.map(|(_, text)| text), method != "ACK");
        self
    }

    /// A re-INVITE.
    pub fn reinvite(self, body: &str) -> Self {
        self.request("INVITE", "", Some(("application/sdp", body)))
    }

    /// The ACK of the last 2xx to an INVITE, which had this number.
    pub fn ack(mut self, cseq: u32, body: Option<&str>) -> Self {
        let head = self.within("ACK", cseq);
        self.send(&head, body, false);
        self
    }

    /// The ACK of a re-INVITE's 2xx.
    pub fn ack_last(self) -> Self {
        let cseq = self.cseq;
        self.ack(cseq, None)
    }

    /// Hears this response; provisional ones may come before.
    pub fn expect(self, status: u16) -> Self {
        self.expect_with(status, &[])
    }

    /// The same, and each check matches: where (`body`, or a header), and a regular expression.
    pub fn expect_with(mut self, status: u16, checks: &[(&str, &str)]) -> Self {
        if status >= 200 {
            for provisional in [100, 180] {
                self.steps.push_str(&format!("<recv response=\"{provisional}\" optional=\"true\"/>\n"));
            }
        } else {
            self.steps.push_str("<recv response=\"100\" optional=\"true\"/>\n");
        }
        let actions = self.actions(checks);
        // The route set and the remote target are those of the first answer.
        let known = std::mem::replace(&mut self.routes_known, true);
        let routes = if known { "" } else { " rrs=\"true\"" };
        self.steps.push_str(&format!("<recv response=\"{status}\"{routes}>{actions}</recv>\n"));
        self
    }

    /// Hears a 180 that has to be confirmed, and confirms it by PRACK.
    pub fn confirm_ringing(mut self) -> Self {
        self.routes_known = true;
        self.steps.push_str(
            r#"<recv response="100" optional="true"/>
            <recv response="180" rrs="true"><action>
              <ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" check_it="true" assign_to="rseq"/>
            </action></recv>"#,
        );
        self.request("PRACK", "RAck: [$rseq] 1 INVITE\n", None).expect(200)
    }

    /// Hears this request.
    pub fn receive(self, method: &str) -> Self {
        self.receive_with(method, &[])
    }

    /// The same, and each check matches.
    pub fn receive_with(mut self, method: &str, checks: &[(&str, &str)]) -> Self {
        let actions = self.actions(checks);
        self.steps.push_str(&format!("<recv request=\"{method}\">{actions}</recv>\n"));
        self
    }

    /// Answers the request that came last.
    pub fn respond(mut self, status: &str, headers: &str, body: Option<&str>) -> Self {
        let contact = if status.starts_with('1') || status.starts_with('2') { CONTACT } else { "" };
        let head = format!(
            "SIP/2.0 {status}\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n{contact}{headers}"
        );
        self.send(&head, body, false);
        self
    }

    /// Answers the INVITE that began the call, whatever came since.
    pub fn respond_first(mut self, status: &str, headers: &str, body: Option<&str>) -> Self {
        let contact = if status.starts_with('3') { "" } else { CONTACT };
        let head = format!(
            "SIP/2.0 {status}\nVia:[$their_via]\nFrom:[$their_from]\nTo:[$their_to];tag=[call_number]\nCall-ID: [call_id]\n\
             CSeq: 1 INVITE\n{contact}{headers}"
        );
        self.send(&head, body, false);
        self
    }

    /// Refuses the INVITE that came last, which began no dialog.
    pub fn refuse(mut self, status: &str) -> Self {
        let head = format!(
            "SIP/2.0 {status}\n[last_Via:]\n[last_From:]\n[last_To:];tag=[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n"
        );
        self.send(&head, None, false);
        self
    }

    /// Waits.
    pub fn pause(mut self, ms: u32) -> Self {
        self.steps.push_str(&format!("<pause milliseconds=\"{ms}\"/>\n"));
        self
    }

    /// Any step as SIPp writes it.
    pub fn raw(mut self, step: &str) -> Self {
        self.steps.push_str(step);
        self
    }

    /// The call is over; what comes again meanwhile fails it.
    pub fn end(self) -> String {
        let known = match self.called {
            true => "<Reference variables=\"their_contact,their_from,their_to,their_via\"/>\n",
            false => "",
        };
        let checks: Vec<String> = (0..self.checks).map(|n| format!("check{n}")).collect();
        let checks = match checks.is_empty() {
            true => String::new(),
            false => format!("<Reference variables=\"{}\"/>\n", checks.join(",")),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"telephone\">\n{}{known}{checks}\
             <timewait milliseconds=\"200\"/>\n</scenario>\n",
            self.steps
        )
    }

    fn actions(&mut self, checks: &[(&str, &str)]) -> String {
        let actions: String = checks
            .iter()
            .map(|(place, pattern)| {
                let check = self.checks;
                self.checks += 1;
                let place = match *place {
                    "body" => "search_in=\"body\"".to_owned(),
                    header => format!("search_in=\"hdr\" header=\"{header}:\""),
                };
                let pattern = pattern.replace('<', "&lt;");
                format!("<ereg regexp=\"{pattern}\" {place} check_it=\"true\" assign_to=\"check{check}\"/>")
            })
            .collect();
        if actions.is_empty() { actions } else { format!("<action>{actions}</action>") }
    }

    fn within(&self, method: &str, cseq: u32) -> String {
        let (uri, parties) = match self.called {
            true => ("[$their_contact]", "From:[$their_to];tag=[call_number]\nTo:[$their_from]\n".to_owned()),
            false => ("[next_url]", format!("{FROM}[last_To:]\n")),
        };
        format!(
            "{method} {uri} SIP/2.0\n{VIA}Max-Forwards: 70\n[routes]\n{parties}Call-ID: [call_id]\nCSeq: {cseq} {method}\n"
        )
    }

    fn send(&mut self, head: &str, body: Option<&str>, repeats: bool) {
        let kind = if body.is_some() { "Content-Type: application/sdp\n" } else { "" };
        self.send_typed(&format!("{head}{kind}"), body, repeats);
    }

    fn send_typed(&mut self, head: &str, body: Option<&str>, repeats: bool) {
        let retrans = if repeats { " retrans=\"500\"" } else { "" };
        let body = body.unwrap_or_default();
        self.steps.push_str(&format!(
            "<send{retrans}><![CDATA[\n\n{head}Content-Length: [len]\n\n{body}\n\n]]></send>\n"
        ));
    }
}

const VIA: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport\n";
const FROM: &str = "From: <sip:0903383638@[local_ip]:[local_port]>;tag=[call_number]\n";
const CONTACT: &str = "Contact: <sip:0903383638@[local_ip]:[local_port]>\n";
