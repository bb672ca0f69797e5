use llm_gateway_adapter as a;
use a::types::*;
struct OpenAi;
struct D;
impl a::Manifest for OpenAi { fn describe() -> ProviderInfo { todo!() } }
impl a::Chat for OpenAi { type Decoder = D;
 fn encode(r: ChatRequest) -> Result<HttpRequest, Failure> { todo!() }
 fn decode(r: HttpResponse, c: String) -> Result<ChatResponse, Failure> { todo!() } }
impl a::GuestDecoder for D { fn new(c: String, h: Vec<(String,String)>) -> Self { D } fn push(&self, f: Vec<Frame>) -> Vec<ChatEvent> { vec![] } fn finish(&self) -> Vec<ChatEvent> { vec![] } }
impl a::Models for OpenAi { fn encode(p: Option<String>, s: Vec<(String,String)>) -> Result<HttpRequest, Failure> { todo!() } fn decode(r: HttpResponse, c: String) -> Result<a::models::Page, Failure> { todo!() } }
a::export!(OpenAi: models);
