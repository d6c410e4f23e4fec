"""The local cloud's process when it enforces roles: workers sign with keys of its own making."""

from ministack.services import sts

from kalmap_cli.local import cloud_process

own = cloud_process.secret_of
cloud_process.secret_of = lambda key: own(key) or sts._sessions.get(key, {}).get("SecretAccessKey")

if __name__ == "__main__":
    cloud_process.main()
