//! Texts with their true counts, as the vocabularies themselves count them: `o200k_base` (tiktoken), Mistral's tekken (mistral-common, `tekken_240911`) and
//! Gemma 3's, without any special tokens. They had little weight in what the shares were fitted to.

pub(super) const TEXTS: &[(&str, [f64; 3])] = &[
    // English
    (
        "The lighthouse keeper had not spoken to anyone for eleven days when the supply boat finally rounded the point. He watched it from the gallery, counting the figures on deck, and felt something close to dread. Company meant questions, and questions meant explaining why the lamp had gone dark on Tuesday night. He rehearsed his answer while he climbed down the ninety-four steps: a cracked mantle, a cold wick, an honest mistake. By the time he reached the door he almost believed it himself.",
        [97.0, 99.0, 98.0],
    ),
    (
        "Before you upgrade, read the release notes and make a backup of the database. The new version changes how sessions are stored, so users will have to sign in again. If you run more than one instance, stop all of them first; a mixed deployment is not supported and can lose data. After the upgrade, run the health check and compare the number of records with the figure that you noted earlier. Should anything look wrong, restore the backup and open an issue that includes the complete log.",
        [99.0, 99.0, 99.0],
    ),
    (
        "Dear Ms. Okafor, thank you for your letter of 14 March 2025 concerning invoice no. 20418. We have checked our records and found that the payment of $1,250.75 was credited to the wrong account. The mistake has been corrected, and you will receive a new statement within five working days. We apologise for the inconvenience and have waived the late fee of $35. Please do not hesitate to call us at 555-0142 if you have any further questions.",
        [104.0, 121.0, 117.0],
    ),
    // Rust
    (
        "use std::collections::HashMap;\n\n/// Counts how often each word occurs, without regard to case.\npub fn word_counts(text: &str) -> HashMap<String, usize> {\n    let mut counts = HashMap::new();\n    for word in text.split_whitespace() {\n        let word = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();\n        if !word.is_empty() {\n            *counts.entry(word).or_insert(0) += 1;\n        }\n    }\n    counts\n}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn case_does_not_matter() {\n        let counts = word_counts(\"The cat and the hat.\");\n        assert_eq!(counts[\"the\"], 2);\n        assert_eq!(counts.len(), 4);\n    }\n}\n",
        [172.0, 183.0, 211.0],
    ),
    (
        "impl<T: Clone + Send + 'static> Pool<T> {\n    pub async fn acquire(&self) -> Result<Guard<'_, T>, PoolError> {\n        let permit = tokio::time::timeout(self.timeout, self.permits.acquire())\n            .await\n            .map_err(|_| PoolError::Timeout(self.timeout))?\n            .map_err(|_| PoolError::Closed)?;\n        let item = match self.idle.lock().pop() {\n            Some(item) => item,\n            None => (self.factory)().await?,\n        };\n        Ok(Guard { pool: self, item: Some(item), _permit: permit })\n    }\n}\n",
        [135.0, 142.0, 161.0],
    ),
    // Python
    (
        "import csv\nfrom dataclasses import dataclass\nfrom pathlib import Path\n\n\n@dataclass(frozen=True)\nclass Reading:\n    station: str\n    celsius: float\n\n\ndef load(path: Path) -> list[Reading]:\n    with path.open(newline=\"\", encoding=\"utf-8\") as handle:\n        rows = csv.DictReader(handle)\n        return [Reading(row[\"station\"], float(row[\"temp\"])) for row in rows if row[\"temp\"]]\n\n\ndef mean_by_station(readings: list[Reading]) -> dict[str, float]:\n    totals: dict[str, list[float]] = {}\n    for reading in readings:\n        totals.setdefault(reading.station, []).append(reading.celsius)\n    return {name: sum(values) / len(values) for name, values in totals.items()}\n\n\nif __name__ == \"__main__\":\n    for name, value in sorted(mean_by_station(load(Path(\"readings.csv\"))).items()):\n        print(f\"{name:<12} {value:6.2f}\")\n",
        [207.0, 223.0, 247.0],
    ),
    (
        "class RateLimiter:\n    def __init__(self, rate, burst, clock=time.monotonic):\n        self._rate = rate\n        self._burst = burst\n        self._tokens = burst\n        self._clock = clock\n        self._last = clock()\n\n    def allow(self, cost=1):\n        now = self._clock()\n        self._tokens = min(self._burst, self._tokens + (now - self._last) * self._rate)\n        self._last = now\n        if self._tokens < cost:\n            return False\n        self._tokens -= cost\n        return True\n",
        [128.0, 131.0, 138.0],
    ),
    // JavaScript
    (
        "import express from \"express\";\n\nconst app = express();\nconst sessions = new Map();\n\napp.use(express.json({ limit: \"100kb\" }));\n\napp.post(\"/login\", async (req, res) => {\n  const { email, password } = req.body;\n  const user = await findUser(email);\n  if (!user || !(await verify(password, user.passwordHash))) {\n    return res.status(401).json({ error: \"invalid credentials\" });\n  }\n  const token = crypto.randomUUID();\n  sessions.set(token, { userId: user.id, expiresAt: Date.now() + 3600 * 1000 });\n  res.cookie(\"session\", token, { httpOnly: true, sameSite: \"lax\" });\n  res.json({ id: user.id, name: user.name });\n});\n\napp.listen(3000, () => console.log(\"listening on http://localhost:3000\"));\n",
        [188.0, 200.0, 233.0],
    ),
    (
        "export function debounce(fn, wait = 200) {\n  let timer = null;\n  return function (...args) {\n    clearTimeout(timer);\n    timer = setTimeout(() => {\n      timer = null;\n      fn.apply(this, args);\n    }, wait);\n  };\n}\n\nconst input = document.querySelector(\"#search\");\ninput?.addEventListener(\"input\", debounce((event) => {\n  const query = event.target.value.trim();\n  document.body.classList.toggle(\"is-searching\", query.length > 0);\n}));\n",
        [106.0, 111.0, 130.0],
    ),
    // JSON
    (
        "{\n  \"id\": \"order_20931\",\n  \"status\": \"shipped\",\n  \"customer\": { \"name\": \"Amelia Hartmann\", \"email\": \"amelia@example.com\", \"vip\": false },\n  \"items\": [\n    { \"sku\": \"LAMP-044\", \"title\": \"Desk lamp, brass\", \"quantity\": 1, \"unit_price\": 79.9 },\n    { \"sku\": \"BULB-007\", \"title\": \"LED bulb 7 W\", \"quantity\": 4, \"unit_price\": 3.25 }\n  ],\n  \"total\": 92.9,\n  \"currency\": \"EUR\",\n  \"created_at\": \"2025-11-03T09:14:27Z\"\n}\n",
        [163.0, 182.0, 194.0],
    ),
    (
        "{\"model\":\"small\",\"messages\":[{\"role\":\"system\",\"content\":\"You answer in one sentence.\"},{\"role\":\"user\",\"content\":\"What is the tallest building in the city?\"}],\"temperature\":0.2,\"max_tokens\":120,\"stop\":[\"\\n\\n\"],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"lookup\",\"description\":\"Finds a building by name\",\"parameters\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"limit\":{\"type\":\"integer\",\"minimum\":1}},\"required\":[\"name\"]}}}]}",
        [111.0, 117.0, 111.0],
    ),
    // Chinese
    (
        "清晨五点，渔港已经热闹起来了。老王把昨夜修补好的渔网搬上甲板，又检查了一遍发动机。今年的禁渔期比往年长，家里的积蓄差不多用完了，他希望第一网就能有个好收成。儿子在省城读大学，下个月的学费还没有着落。海面上吹来一阵凉风，他点上一支烟，看着东方慢慢亮起来的天空，心里默默算着今天的潮水。",
        [122.0, 137.0, 106.0],
    ),
    (
        "在部署之前，请先确认服务器的操作系统版本和可用内存。安装完成后，需要修改配置文件中的数据库地址和端口号，然后重新启动服务。如果日志中出现“连接被拒绝”的错误，通常是防火墙没有开放相应的端口。建议在测试环境中先运行一周，确认没有问题之后再更新生产环境，并且保留至少三份最近的备份。",
        [90.0, 124.0, 80.0],
    ),
    (
        "根据统计局公布的数据，2024年全国居民人均可支配收入为41314元，比上年增长5.3%。其中城镇居民人均可支配收入54188元，农村居民人均可支配收入23119元。专家认为，收入增长与消费结构的变化密切相关，教育、医疗和文化娱乐方面的支出占比明显上升，未来几年这一趋势还将继续。",
        [93.0, 127.0, 94.0],
    ),
    // Japanese
    (
        "駅前の小さな喫茶店は、朝の七時から開いている。店主の田中さんは毎日同じ時間に豆を挽き、同じ音楽をかける。常連客はほとんどが近所の人で、新聞を読みながら静かにコーヒーを飲む。先週、隣に大きなチェーン店ができたが、客の数はあまり変わらなかった。「うちは味より、この時間が好きで来てくれるんですよ」と、田中さんは笑って話してくれた。",
        [138.0, 129.0, 96.0],
    ),
    (
        "このライブラリを使うには、まずパッケージマネージャーでインストールしてください。設定ファイルにはサーバーのアドレスとポート番号を指定します。接続に失敗した場合は、ログレベルをデバッグに変更すると詳しいエラーメッセージが表示されます。なお、バージョン3.2以降では古い認証方式が廃止されたため、アクセストークンを新しく発行する必要があります。",
        [113.0, 113.0, 73.0],
    ),
    (
        "昨年度の売上高は1,284億円となり、前の年に比べて6.8%増加した。特に海外事業が好調で、北米と東南アジアでの販売が大きく伸びた。一方、原材料の価格が上昇した影響で、営業利益は横ばいにとどまった。会社は来年度、新しい工場に約200億円を投資し、生産能力を三割ほど高める計画だ。",
        [117.0, 120.0, 95.0],
    ),
    // Korean
    (
        "할머니 댁은 버스로 두 시간쯤 걸리는 작은 마을에 있다. 어릴 때는 방학마다 그곳에서 지내면서 냇가에서 물고기를 잡고 감나무에 올라가 놀았다. 지금은 마을에 아이들이 거의 없어서 학교도 문을 닫았고, 여름이면 시끄럽던 골목도 조용하기만 하다. 그래도 할머니는 마당에 고추와 상추를 심고, 손주들이 올 때를 기다리며 장독대를 깨끗이 닦아 놓으신다.",
        [129.0, 108.0, 118.0],
    ),
    (
        "설치를 시작하기 전에 운영 체제의 버전과 남은 디스크 공간을 확인하십시오. 설정 파일에는 데이터베이스 주소와 포트 번호를 입력해야 하며, 변경한 내용은 서비스를 다시 시작한 뒤에 적용됩니다. 연결 오류가 발생하면 방화벽 설정을 먼저 점검하고, 문제가 계속되면 로그 파일을 첨부하여 관리자에게 문의하시기 바랍니다.",
        [84.0, 89.0, 78.0],
    ),
    (
        "지난해 국내 온라인 쇼핑 거래액은 242조 원으로 전년보다 5.8% 늘었다. 특히 음식 서비스와 여행 상품의 비중이 크게 높아졌으며, 모바일 거래가 전체의 75%를 차지했다. 전문가들은 소비자들이 가격뿐 아니라 배송 속도와 교환 절차를 중요하게 여긴다며, 앞으로 물류 센터에 대한 투자가 더욱 확대될 것으로 내다봤다.",
        [96.0, 101.0, 97.0],
    ),
];
