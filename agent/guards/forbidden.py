"""What generated Python must not import, call or touch, each with the reason that the model is told."""

from __future__ import annotations

import re

PROCESSES = "generated code must not start programs; do it in Python, or ask for data with execute_sql"
NETWORK = "generated code has no network; get data with execute_sql"
NATIVE = "native code can't be checked"
DYNAMIC = "code made of text can't be checked; write it out, or use ast.literal_eval or json.loads for data"
OTHERS = "it ends or changes processes that are not yours"


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def because(reason: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


MODULES = (
    because(PROCESSES, "subprocess pty pexpect sh fabric plumbum _posixsubprocess multiprocessing.popen_fork")
    | because(
        NETWORK, "socket socketserver ssl _socket requests httpx aiohttp urllib3 paramiko websockets websocket boto3"
    )
    | because(NETWORK, "ftplib smtplib imaplib poplib telnetlib nntplib xmlrpc webbrowser")
    | because(NETWORK, "urllib.request http.client http.server")
    | because(PROCESSES, "asyncio.subprocess")
    | because(NATIVE, "ctypes _ctypes cffi")
    | because("packages can't be installed; use what is there", "pip ensurepip")
)

FUNCTIONS = (
    because(PROCESSES, "os.system os.popen os.fork os.forkpty os.startfile os.posix_spawn os.posix_spawnp")
    | because(PROCESSES, "asyncio.create_subprocess_exec asyncio.create_subprocess_shell")
    | because(NETWORK, "asyncio.open_connection asyncio.start_server")
    | because(OTHERS, "os.kill os.killpg os.setuid os.setgid os.chroot os.abort")
    | because("secrets stay with the host", "dbutils.secrets.get dbutils.secrets.getBytes dbutils.secrets.list")
    | because("it destroys files; write new ones instead", "dbutils.fs.rm dbutils.fs.mv")
)
FAMILIES = re.compile(r"^os\.(?:exec|spawn)[lv]p?e?$")

EVALUATORS = words("eval exec compile builtins.eval builtins.exec builtins.compile")
TUNNELS = words("__subclasses__ __globals__ __builtins__ __code__ __closure__ __mro__ __bases__")
GUARDED_OWNERS = words("os sys builtins shutil importlib __builtins__ posix")

DELETIONS = words("os.remove os.unlink os.rmdir os.removedirs os.truncate shutil.rmtree")
DELETING_METHODS = words("unlink rmdir")

MOVES = words("os.rename os.replace shutil.move")
WRITES = MOVES | words("shutil.copy shutil.copyfile shutil.copytree os.chmod os.chown os.symlink os.link os.mkfifo")
WRITING_METHODS = words("write_text write_bytes touch symlink_to hardlink_to chmod savefig")
WRITING_METHODS |= words("to_csv to_parquet to_json to_excel to_pickle to_feather to_html")

READS = words("open io.open pathlib.Path Path os.open os.listdir os.walk glob.glob os.path.expanduser os.path.join")
READS |= words("shutil.copy shutil.copyfile shutil.move linecache.getline")

SINGLE_VARIABLE = words("get setdefault pop update")
