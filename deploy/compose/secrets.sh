#!/bin/sh
# Make the secrets that compose.yaml mounts, once: secrets.sh [FOLDER]. What is there already stays.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"

random() { openssl rand -hex 32; }

# The folder is private, the files in it are not: compose mounts them as they are, and containers read them as users
# of their own.
write() {
  if [ ! -e "$folder/$1" ]; then
    printf '%s\n' "$2" > "$folder/.$1"
    chmod 0444 "$folder/.$1"
    mv "$folder/.$1" "$folder/$1"
  fi
}

write admin-token "dh_admin_$(random)"
write redis-password.conf "requirepass $(random)"
write redis-url "redis://:$(sed -n 's/^requirepass //p' "$folder/redis-password.conf")@redis:6379/0"
if [ ! -e "$folder/tls.pem" ] && [ ! -e "$folder/tls.key" ]; then
  # For this machine alone: put a certificate for the name that people use in the place of these two.
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$folder/tls.key" -out "$folder/tls.pem" 2>/dev/null
  chmod 0444 "$folder/tls.key" "$folder/tls.pem"
fi
echo "The administrator's token: $folder/admin-token"
