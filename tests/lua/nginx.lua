-- A private web server on loopback, https with a certificate of its own authority, and one beside it that
-- goes wrong on request. Files in a folder of its own, gone when it is closed.
local raw = require "vm.raw"
local sshd = require "ssh.sshd"
local t = require "harness"

local M = {}

local fs = raw.fs

---@class Nginx
---@field url string https, by the name that is in the certificate
---@field plain string http
---@field other string https, by another host's name
---@field stranger string https, with a certificate that nobody vouches for
---@field root string what is served below /
---@field ca string the authority's certificate
local Nginx = {}
Nginx.__index = Nginx

local CERTIFICATES <const> = [[
cd "$1"
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -new -key ca.key -subj "/CN=test authority" -days 2 -out ca.pem
openssl ecparam -name prime256v1 -genkey -noout -out key.pem
openssl req -new -key key.pem -subj "/CN=localhost" -out server.csr
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >san
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out cert.pem
openssl req -x509 -new -key key.pem -subj "/CN=localhost" -days 2 -out self.pem
]]

local CONFIG <const> = [[
daemon off;
master_process off;
pid DIR/nginx.pid;
error_log DIR/error.log warn;
events { worker_connections 64; }
http {
    access_log off;
    log_format brief '$request_method $uri $status $body_bytes_sent';
    client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3;
    uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
    ssl_certificate_key DIR/key.pem;
    server {
        listen 127.0.0.1:HTTPS ssl;
        listen 127.0.0.1:PLAIN;
        ssl_certificate DIR/cert.pem;
        root DIR/www;
        access_log DIR/access.log brief;
        location /slow/ { alias DIR/www/; limit_rate 2m; }
        location /secret/ { return 403; }
        location /gone/ { return 410; }
        location /to-plain/ { return 302 http://localhost:PLAIN/$request_uri; }
        location /to-file/ { return 302 file:///etc/passwd; }
        location /to-other/ { rewrite ^/to-other/(.*)$ https://127.0.0.1:HTTPS/$1 redirect; }
        location /to-same/ { rewrite ^/to-same/(.*)$ /$1 redirect; }
        location /round/ { return 302 /round/again; }
        location /fault/ {
            proxy_pass http://127.0.0.1:FAULT/; proxy_buffering off; proxy_set_header Range $http_range;
        }
    }
    server {
        listen 127.0.0.1:STRANGER ssl;
        ssl_certificate DIR/self.pem;
        root DIR/www;
    }
}
]]

---Starts both, or skips the test when something is missing.
---@return Nginx
function M.start()
    local program = sshd.which "nginx"
    for _, name in ipairs { "nginx", "openssl", "perl" } do
        if not sshd.which(name) then
            t.skip(name .. " is not installed")
        end
    end
    local self = setmetatable({ dir = assert(fs.mkdtemp()) }, Nginx)
    sshd.sh("set -e\n{ " .. CERTIFICATES .. "} >/dev/null 2>&1; mkdir www", self.dir)
    local ports = { HTTPS = sshd.free_port(), PLAIN = sshd.free_port(), STRANGER = sshd.free_port(),
        FAULT = sshd.free_port() }
    local config = CONFIG:gsub("%u+", function(word) return word == "DIR" and self.dir or ports[word] end)
    assert(fs.write_atomic(self.dir .. "/nginx.conf", config))
    self.root, self.ca = self.dir .. "/www", self.dir .. "/ca.pem"
    self.url = ("https://localhost:%d"):format(ports.HTTPS)
    self.plain = ("http://localhost:%d"):format(ports.PLAIN)
    self.other = ("https://127.0.0.1:%d"):format(ports.HTTPS)
    self.stranger = ("https://localhost:%d"):format(ports.STRANGER)
    self.ports = ports
    self:run(program)
    return self
end

---Starts the processes (again).
---@param program? string
function Nginx:run(program)
    local folder = assert(os.getenv "VMATRIX_SOURCE", "VMATRIX_SOURCE is not set")
    self.nginx = assert(raw.process.start { argv = { "timeout", "--foreground", "300", program or sshd.which "nginx",
        "-p", self.dir, "-c", self.dir .. "/nginx.conf", "-e", self.dir .. "/error.log" } })
    self.fault = assert(raw.process.start { argv = { "timeout", "--foreground", "300", "perl",
        folder .. "/tests/lua/fault_server.pl", tostring(self.ports.FAULT), self.root } })
    t.check(sshd.wait_listening(self.nginx, self.ports.HTTPS), "nginx did not start")
    t.check(sshd.wait_listening(self.fault, self.ports.FAULT), "the fault server did not start")
end

---Puts a file on the server.
---@param name string
---@param bytes string
---@return string digest its SHA-256
function Nginx:put(name, bytes)
    assert(fs.write_atomic(self.root .. "/" .. name, bytes))
    return (assert(raw.data.sha256(bytes)))
end

---The requests since the last call: lines of "GET /path status bytes".
---@return string[]
function Nginx:requests()
    local text = fs.read(self.dir .. "/access.log", 1 << 20) or ""
    local lines = {}
    for line in text:sub((self.seen or 0) + 1):gmatch "[^\n]+" do
        lines[#lines + 1] = line
    end
    self.seen = #text
    return lines
end

---Ends the processes.
function Nginx:stop()
    self.nginx:close()
    self.fault:close()
end

function Nginx:__close()
    self:stop()
    fs.remove_tree(self.dir)
end
Nginx.close = Nginx.__close

return M
